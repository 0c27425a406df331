export type * from "./client/types.ts";
/** A plugin for Uppy 6. It is also the default export, as with all of Uppy's plugins. */
export { Fixity as default, Fixity, type FixityBody, type FixityOptions } from "./uppy/fixity.ts";
export type { ClientErrorCode, FixityClientError, FixityClientErrorOptions } from "./client/errors.ts";
export type { ErrorCode } from "./core/errors.ts";
