/** A plugin for Uppy 6. */
export { Fixity as default, Fixity, type FixityBody, type FixityOptions } from "./uppy/fixity.ts";
