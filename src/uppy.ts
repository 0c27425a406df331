export type * from "./client/types.ts";
/** A plugin for Uppy 6; also a default export, as all of Uppy's plugins are. */
export { Fixity as default, Fixity, type FixityBody, type FixityOptions } from "./uppy/fixity.ts";
