import type { Finding, Verdict } from "../stores/doctor/finding.ts";
import { counted, paint, wrapped } from "./text.ts";

/** The word that a line begins with, and what it looks like. */
const WORDS: Readonly<Record<Verdict, readonly [word: string, style: Parameters<typeof paint>[0]]>> = {
  ok: ["ok", "green"],
  note: ["note", "cyan"],
  warning: ["warn", "yellow"],
  failure: ["FAIL", "red"],
  skipped: ["skip", "gray"],
};

/** Columns that a report takes at most, and where its texts begin. */
const WIDEST = 100;
const INDENT = 8;

/** What stands over the findings of a group. */
export function headingOf({ group }: Finding): string {
  return `\n${paint("bold", group)}\n`;
}

/** A finding: what was tried, and below it, where that did not hold, what was seen and what follows. */
export function linesOf({ verdict, title, found, remedy }: Finding): string {
  const [word, style] = WORDS[verdict];
  const isShort = verdict === "ok" || verdict === "skipped";
  const aside = isShort && found !== null ? paint("gray", `: ${found}`) : "";
  const first = `  ${paint(style, word.padEnd(4))}  ${title}${aside}`;
  const texts = isShort ? [] : [found, remedy].filter((text) => text !== null && text !== "");
  const width = Math.min(WIDEST, process.stdout.columns || WIDEST);
  const below = texts.flatMap((text) => wrapped(text ?? "", INDENT, width)).map((line) => paint("gray", line));
  return `${[first, ...below].join("\n")}\n`;
}

/** The end of a report: how often what was found, what the keys lack, and whether fixity can be used. */
export function summaryOf(findings: readonly Finding[], { isWhole }: { readonly isWhole: boolean }): string {
  const lacked = [...new Set(findings.map(({ permission }) => permission).filter((action) => action !== null))];
  const lines = [countsOf(findings)];
  if (lacked.length > 0) lines.push(`The keys lack ${lacked.join(", ")}.`);
  lines.push(isWhole ? verdictOn(findings) : "Stopped early: what was not tried is not known.");
  return `\n${lines.join("\n")}\n`;
}

function countsOf(findings: readonly Finding[]): string {
  const count = (verdict: Verdict) => findings.filter((finding) => finding.verdict === verdict).length;
  const parts = [
    `${count("ok")} ok`,
    counted(count("note"), "note"),
    counted(count("warning"), "warning"),
    counted(count("failure"), "failure"),
    `${count("skipped")} skipped`,
  ];
  return `${counted(findings.length, "probe")}: ${parts.filter((part) => !part.startsWith("0 ")).join(", ")}`;
}

function verdictOn(findings: readonly Finding[]): string {
  const has = (verdict: Verdict) => findings.some((finding) => finding.verdict === verdict);
  if (has("failure")) return paint("red", "fixity cannot be used with this store until what failed is mended.");
  if (has("warning")) return paint("yellow", "fixity can be used with this store; see the warnings.");
  return paint("green", "fixity can be used with this store.");
}
