/** The entry `fixity/client` in browsers. Node finds `client/node.ts` under the same name. */
import { browserPlatform } from "./client/browser/platform.ts";
import { createClientOn } from "./client/client.ts";
import type { Client, ClientOptions, HashWorker } from "./client/types.ts";

export type { ErrorCode } from "./core/errors.ts";
export { type ClientErrorCode, FixityClientError, type FixityClientErrorOptions } from "./client/errors.ts";
export type * from "./client/types.ts";
export {
  createUploadQueue,
  type QueuedUpload,
  type QueuedUploadStatus,
  type UploadQueue,
} from "./client/upload-queue.ts";

declare const Worker: new (url: URL, options: { readonly type: "module" }) => HashWorker;

/**
 * Creates a client of a fixity service.
 *
 * @throws FixityClientError `invalid-option`
 */
export function createClient(options: ClientOptions): Client {
  // bundlers look for exactly this expression, and emit the worker beside the page's script
  const worker = (): HashWorker => new Worker(new URL("./client/hash-worker.js", import.meta.url), { type: "module" });
  return createClientOn(browserPlatform(options, worker), options);
}
