/** The client, in Node. */
import { createClientOn } from "./client.ts";
import { nodePlatform } from "./node/platform.ts";
import type { Client, ClientOptions } from "./types.ts";

export { type ClientErrorCode, FixityClientError } from "./errors.ts";
export { fileStorage } from "./node/file-storage.ts";
export type * from "./types.ts";

/**
 * A client of a fixity service.
 *
 * @throws FixityClientError `invalid-option`
 */
export function createClient(options: ClientOptions): Client {
  return createClientOn(nodePlatform(options), options);
}
