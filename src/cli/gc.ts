import { formatSize } from "../base/format-size.ts";
import { createFixity } from "../core/fixity.ts";
import type { RemovedDamage } from "../core/store.ts";
import { EXIT } from "./exit-codes.ts";
import { print, printJson } from "./output.ts";
import { assertStoreExists, serviceOptions, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/** The result for a store that keeps no damaged files. */
const NONE_REMOVED: RemovedDamage = { blobs: 0, bytes: 0 };

/**
 * `fixity gc`: removes incomplete files of dead processes and expired uploads and, on request,
 * damaged files that uploads have replaced. Reports how much it has removed.
 */
export async function collectGarbage(
  sources: StoreCommandSources,
  { removesDamaged, isJson }: { readonly removesDamaged: boolean; readonly isJson: boolean },
): Promise<number> {
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    await using fixity = createFixity({ ...serviceOptions(opened), uploads: { expiry: opened.config.expiry } });
    const { staged, bytes } = await fixity.collect(opened.signal);
    const damaged = removesDamaged ? ((await opened.store.removeDamaged?.(opened.signal)) ?? NONE_REMOVED) : null;
    const failed = opened.failureCount();
    if (isJson) printJson({ removed: staged, bytes, failed, ...(damaged !== null && { damaged }) });
    else if (staged === 0) print("nothing to remove\n");
    else print(`removed ${counted(staged, "unfinished upload")}, ${formatSize(bytes)}\n`);
    if (!isJson && damaged !== null) print(damagedLine(damaged));
    return failed === 0 ? EXIT.ok : EXIT.notOk;
  });
}

function damagedLine({ blobs, bytes }: RemovedDamage): string {
  return blobs === 0
    ? "no damaged files are kept\n"
    : `removed ${counted(blobs, "damaged file")}, ${formatSize(bytes)}\n`;
}
