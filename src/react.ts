/** The entry `fixity/react`: a hook over the upload queue of `fixity/client`. */
import { useSyncExternalStore } from "react";
import type { QueuedUpload, UploadQueue } from "./client/upload-queue.ts";

export type { ErrorCode } from "./core/errors.ts";
export type { ClientErrorCode, FixityClientError, FixityClientErrorOptions } from "./client/errors.ts";
export type * from "./client/types.ts";
export type { QueuedUpload, QueuedUploadStatus, UploadQueue } from "./client/upload-queue.ts";

/** What {@link useUploads} returns: the uploads, and the methods of their queue. */
export interface Uploads extends Omit<UploadQueue, "subscribe" | "getSnapshot"> {
  /** In the order in which they were added. */
  readonly uploads: readonly QueuedUpload[];
}

const NONE: readonly QueuedUpload[] = [];

/**
 * Renders the component again when an upload of the queue changes. Components that share a queue
 * show the same uploads, which continue when a component is unmounted. On a server there are none.
 *
 * @param queue created outside of the component: `createUploadQueue(createClient({ endpoint }))`
 */
export function useUploads(queue: UploadQueue): Uploads {
  const uploads = useSyncExternalStore(queue.subscribe, queue.getSnapshot, () => NONE);
  const { add, pause, resume, retry, cancel, remove } = queue;
  return { uploads, add, pause, resume, retry, cancel, remove };
}
