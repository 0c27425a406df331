import { createFixity } from "../core/fixity.ts";
import { formatSize } from "../base/format-size.ts";
import { EXIT } from "./exit-codes.ts";
import { assertStoreExists, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted, printJson } from "./text.ts";
import { print } from "./output.ts";

/**
 * `fixity gc`: removes what dead processes have left half-written and uploads that have expired, and says
 * how much that was.
 */
export async function collectGarbage(sources: StoreCommandSources, isJson: boolean): Promise<number> {
  return withStore(sources, async (work) => {
    await assertStoreExists(work);
    const fixity = createFixity({ store: work.store, uploads: { expiry: work.config.expiry } });
    const { staged, bytes } = await fixity.collect(work.signal);
    const failed = work.failureCount();
    if (isJson) printJson({ removed: staged, bytes, failed });
    else print(`${told(staged, bytes)}\n`);
    return failed === 0 ? EXIT.ok : EXIT.notOk;
  });
}

function told(staged: number, bytes: number): string {
  if (staged === 0) return "nothing to remove";
  return `removed ${counted(staged, "unfinished upload")}, ${formatSize(bytes)}`;
}
