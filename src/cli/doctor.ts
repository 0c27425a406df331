import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import type { Diagnosable, Finding, Verdict } from "../stores/doctor/finding.ts";
import { EXIT } from "./exit-codes.ts";
import { paint, print, printJson } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { type StoreCommandSources, withStore } from "./store-command.ts";
import { counted, wrapped } from "./text.ts";

/** The first word of a finding's line, and its style. */
const VERDICT_WORDS: Readonly<Record<Verdict, readonly [word: string, style: Parameters<typeof paint>[0]]>> = {
  ok: ["ok", "green"],
  note: ["note", "cyan"],
  warning: ["warn", "yellow"],
  failure: ["FAIL", "red"],
  skipped: ["skip", "gray"],
};

const REPORT_MAX_COLUMNS = 100;
const DETAIL_INDENT = 8;

/**
 * `fixity doctor`: probes the configured store, and reports what works, what does not, and with
 * which consequences.
 */
export async function examineStore(sources: StoreCommandSources, isJson: boolean): Promise<number> {
  return withStore(sources, async ({ store, signal }) => {
    if (!isDiagnosable(store)) throw new FixityError("invalid-option", "This store has no probes.");
    const findings: Finding[] = [];
    using progress = new ProgressLine();
    let group = "";
    if (!isJson) print(`${store.description}\n`);
    const onBegin = (title: string) => progress.show(() => `  …     ${title}`);
    for await (const finding of store.diagnose({ signal, onBegin })) {
      findings.push(finding);
      progress.clear();
      if (isJson) printJson(finding);
      else {
        if (finding.group !== group) print(`\n${paint("bold", finding.group)}\n`);
        print(formatFinding(finding));
      }
      group = finding.group;
    }
    progress.clear();
    const isComplete = !signal.aborted;
    const isUsable = isComplete && findings.every(({ verdict }) => verdict !== "failure");
    if (isJson) printJson({ store: store.description, usable: isUsable, complete: isComplete });
    else print(summaryOf(findings, isComplete));
    return isUsable ? EXIT.ok : EXIT.notOk;
  });
}

function isDiagnosable(store: BlobStore): store is BlobStore & Diagnosable {
  return "diagnose" in store;
}

/**
 * The verdict and title of a finding and, unless all is well, the details and the remedy on the
 * lines below.
 */
function formatFinding({ verdict, title, found, remedy }: Finding): string {
  const [word, style] = VERDICT_WORDS[verdict];
  const isOneLine = verdict === "ok" || verdict === "skipped";
  const aside = isOneLine && found !== null ? paint("gray", `: ${found}`) : "";
  const first = `  ${paint(style, word.padEnd(4))}  ${title}${aside}`;
  const details = isOneLine ? [] : [found, remedy].filter((text) => text !== null && text !== "");
  const width = Math.min(REPORT_MAX_COLUMNS, process.stdout.columns || REPORT_MAX_COLUMNS);
  const below = details.flatMap((text) => wrapped(text ?? "", DETAIL_INDENT, width)).map((line) => paint("gray", line));
  return `${[first, ...below].join("\n")}\n`;
}

/**
 * The end of the report: the number of findings per verdict, the permissions that the credentials
 * lack, and the conclusion.
 */
function summaryOf(findings: readonly Finding[], isComplete: boolean): string {
  const count = (verdict: Verdict) => findings.filter((finding) => finding.verdict === verdict).length;
  const counts = [
    `${count("ok")} ok`,
    counted(count("note"), "note"),
    counted(count("warning"), "warning"),
    counted(count("failure"), "failure"),
    `${count("skipped")} skipped`,
  ].filter((part) => !part.startsWith("0 "));
  const lines = [`${counted(findings.length, "probe")}: ${counts.join(", ")}`];
  const lacking = [...new Set(findings.map(({ permission }) => permission).filter((action) => action !== null))];
  if (lacking.length > 0) lines.push(`The credentials lack ${lacking.join(", ")}.`);
  lines.push(conclusion());
  return `\n${lines.join("\n")}\n`;

  function conclusion(): string {
    if (!isComplete) return "Stopped early: the remaining probes did not run.";
    if (count("failure") > 0) {
      return paint("red", "This store cannot be used. Fix the failed checks above and run doctor again.");
    }
    if (count("warning") > 0) return paint("yellow", "This store can be used; see the warnings.");
    return paint("green", "This store can be used.");
  }
}
