import { formatSize } from "../base/format-size.ts";
import { createFixity } from "../core/fixity.ts";
import { EXIT } from "./exit-codes.ts";
import { print, printJson } from "./output.ts";
import { assertStoreExists, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/**
 * `fixity gc`: removes what dead processes left half-written and uploads that have expired, and
 * reports how much that was.
 */
export async function collectGarbage(sources: StoreCommandSources, isJson: boolean): Promise<number> {
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    const fixity = createFixity({ store: opened.store, uploads: { expiry: opened.config.expiry } });
    const { staged, bytes } = await fixity.collect(opened.signal);
    const failed = opened.failureCount();
    if (isJson) printJson({ removed: staged, bytes, failed });
    else if (staged === 0) print("nothing to remove\n");
    else print(`removed ${counted(staged, "unfinished upload")}, ${formatSize(bytes)}\n`);
    return failed === 0 ? EXIT.ok : EXIT.notOk;
  });
}
