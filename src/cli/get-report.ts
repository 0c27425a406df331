import { printable } from "../base/printable.ts";
import { formatSize } from "../base/format-size.ts";
import type { BlobInfo } from "../client/node.ts";
import type { Digest } from "../core/digest.ts";
import { EXIT } from "./exit-codes.ts";
import { printJson } from "./text.ts";
import { print } from "./output.ts";

/** What has become of a download. */
export type GetOutcome =
  | {
      /** `present`: the file was there before, with these bytes. */
      readonly status: "fetched" | "present";
      /** Where it is; `null` for standard output. */
      readonly file: string | null;
      readonly info: BlobInfo;
      /** Bytes that came over the wire in this run. */
      readonly received: number;
    }
  | { readonly status: "missing" }
  /** What came are not the bytes that the link names. */
  | { readonly status: "damaged" }
  | { readonly status: "failed"; readonly code: string; readonly reason: string }
  | { readonly status: "stopped" };

const EXITS: Readonly<Record<GetOutcome["status"], number>> = {
  fetched: EXIT.ok,
  present: EXIT.ok,
  missing: EXIT.notOk,
  damaged: EXIT.notOk,
  failed: EXIT.failed,
  stopped: EXIT.failed,
};

/** How an outcome is told. */
export interface GetStyle {
  /** As the user wrote it. */
  readonly link: string;
  readonly digest: Digest;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
}

/** Tells what has become of a download. @returns the exit code */
export function tellGet(outcome: GetOutcome, style: GetStyle): number {
  if (style.isJson) tellProgram(outcome, style);
  else tellPerson(outcome, style);
  return EXITS[outcome.status];
}

function tellPerson(outcome: GetOutcome, { link, digest, isQuiet }: GetStyle): void {
  switch (outcome.status) {
    case "fetched":
    case "present": {
      const { file, info, received } = outcome;
      if (!isQuiet) process.stderr.write(`${printable(file ?? "-")}: ${howFetched(outcome.status, info, received)}\n`);
      if (file !== null) print(`${file}\n`);
      return;
    }
    case "missing":
      return complain(link, "there is no such file at the service");
    case "damaged":
      return complain(
        link,
        `refused: the bytes that came are not those of ${String(digest)}; tell who runs the service`,
      );
    case "failed":
      return complain(link, outcome.reason);
    case "stopped":
      process.stderr.write("not all of it came: the same command again goes on with it\n");
  }
}

function howFetched(status: "fetched" | "present", { size }: BlobInfo, received: number): string {
  if (status === "present") return `there already, and intact, ${formatSize(size)}`;
  const rest = received === size ? "" : ` (${formatSize(size - received)} of it in an earlier run)`;
  return `fetched and verified, ${formatSize(size)}${rest}`;
}

function complain(link: string, reason: string): void {
  process.stderr.write(`fixity: ${printable(`${link}: ${reason}`)}\n`);
}

function tellProgram(outcome: GetOutcome, { link, digest }: GetStyle): void {
  switch (outcome.status) {
    case "fetched":
    case "present": {
      const { status, file, received, info } = outcome;
      return printJson({ status, link, file, digest, size: info.size, type: info.type, received });
    }
    case "missing":
    case "damaged":
      return printJson({ status: outcome.status, link, digest });
    case "failed":
      return printJson({ status: "failed", link, digest, code: outcome.code, reason: outcome.reason });
    case "stopped":
  }
}
