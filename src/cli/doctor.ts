import type { Diagnosable, Finding } from "../stores/doctor/finding.ts";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { EXIT } from "./exit-codes.ts";
import { Progress } from "./progress.ts";
import { headingOf, linesOf, summaryOf } from "./report.ts";
import { type StoreCommandSources, withStore } from "./store-command.ts";
import { printJson } from "./text.ts";
import { print } from "./output.ts";

/** `fixity doctor`: tries out the configured store, and tells what holds, what does not, and what follows from that. */
export async function examineStore(sources: StoreCommandSources, isJson: boolean): Promise<number> {
  return withStore(sources, async ({ store, signal }) => {
    if (!isDiagnosable(store)) throw new FixityError("invalid-option", "This store has no probes.");
    const findings: Finding[] = [];
    using progress = new Progress();
    let group = "";
    if (!isJson) print(`${store.description}\n`);
    const onBegin = (title: string) => progress.show(() => `  …     ${title}`);
    for await (const finding of store.diagnose({ signal, onBegin })) {
      findings.push(finding);
      progress.clear();
      if (isJson) printJson(finding);
      else {
        if (finding.group !== group) print(headingOf(finding));
        print(linesOf(finding));
      }
      group = finding.group;
    }
    progress.clear();
    const isUsable = !signal.aborted && findings.every(({ verdict }) => verdict !== "failure");
    if (isJson) printJson({ store: store.description, usable: isUsable, complete: !signal.aborted });
    else print(summaryOf(findings, { isWhole: !signal.aborted }));
    return isUsable ? EXIT.ok : EXIT.notOk;
  });
}

function isDiagnosable(store: BlobStore): store is BlobStore & Diagnosable {
  return "diagnose" in store;
}
