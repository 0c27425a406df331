import { content } from "../../src/stores/contract/tools.ts";

/** What the upload of `hook-child.ts` consists of. */
export const HOOKED_CONTENT: Uint8Array = content(300_000, 7);
