/** The entry `fixity/client` in Node. Browsers find `src/client.ts` under the same name. */
import { unsupportedRuntime } from "../base/supported-node.ts";
import { createClientOn } from "./client.ts";
import { FixityClientError } from "./errors.ts";
import { nodePlatform } from "./node/platform.ts";
import type { Client, ClientOptions } from "./types.ts";

export type { ErrorCode } from "../core/errors.ts";
export { type ClientErrorCode, FixityClientError, type FixityClientErrorOptions } from "./errors.ts";
export { fileStorage } from "./node/file-storage.ts";
export type * from "./types.ts";
export { createUploadQueue, type QueuedUpload, type QueuedUploadStatus, type UploadQueue } from "./upload-queue.ts";

/**
 * Creates a client of a fixity service.
 *
 * @throws FixityClientError `invalid-option`, or `unsupported-runtime` if Node is too old.
 *   Importing this entry does not throw, so pages that are rendered on a server may import it.
 */
export function createClient(options: ClientOptions): Client {
  const refusal = unsupportedRuntime();
  if (refusal !== null) throw new FixityClientError("unsupported-runtime", refusal);
  return createClientOn(nodePlatform(options), options);
}
