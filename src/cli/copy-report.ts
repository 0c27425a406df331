import { formatSize } from "../base/format-size.ts";
import type { Digest } from "../core/digest.ts";
import { paint } from "./output.ts";
import { counted } from "./text.ts";
import { type LineStyle, WalkProgress } from "./walk-progress.ts";

/** What became of blobs, in the order of the summary. */
const STATUSES = ["copied", "existed", "blocked", "damaged", "missing", "unreadable", "failed"] as const;

/** Statuses of blobs that the target lacks although it should not. */
const BAD_STATUSES = ["damaged", "missing", "unreadable", "failed"] as const;

type CopyStatus = (typeof STATUSES)[number];

/** The result for one blob. */
export interface CopiedBlob {
  /**
   * `damaged`: its bytes at the source are not those of the digest. `missing`: it was named, and the
   * source has none. `unreadable`: the source could not read it. `failed`: the target refused it.
   * `blocked`: an operator has blocked it, at the source or the target.
   */
  readonly status: CopyStatus;
  readonly digest: Digest;
  /** Bytes. */
  readonly size?: number;
  readonly reason?: string;
}

/** A result as one line of text; `null` for one that is not worth a line. */
export function formatCopied({ status, digest, reason }: CopiedBlob): string | null {
  if (status === "copied" || status === "existed") return null;
  const line = `${paint(status === "blocked" ? "yellow" : "red", status.padEnd(10))}  ${digest.toString()}`;
  return reason === undefined ? `${line}\n` : `${line}  ${reason}\n`;
}

/** Counts the results of a run. */
export class CopyTally {
  readonly progress: WalkProgress = new WalkProgress();
  /** Documents that the target did not have. */
  documents = 0;
  readonly #counts: Record<CopyStatus, number> = {
    copied: 0,
    existed: 0,
    blocked: 0,
    damaged: 0,
    missing: 0,
    unreadable: 0,
    failed: 0,
  };
  #bytes = 0;

  add({ status, size = 0 }: CopiedBlob): void {
    this.#counts[status] += 1;
    if (status === "copied") this.#bytes += size;
  }

  /** The number of blobs per status, of copied documents, and of copied bytes. */
  get counts(): Readonly<Record<CopyStatus | "documents" | "bytes", number>> {
    return { ...this.#counts, documents: this.documents, bytes: this.#bytes };
  }

  get isGood(): boolean {
    return BAD_STATUSES.every((status) => this.#counts[status] === 0);
  }

  line(style: LineStyle): string {
    const total = Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
    return this.progress.line(total, this.#others(), style);
  }

  summary(isComplete: boolean): string {
    const copied = `${counted(this.#counts.copied, "blob")} copied, ${formatSize(this.#bytes)}`;
    const facts = [isComplete ? copied : `stopped early: ${copied}`, ...this.#others()];
    if (this.documents > 0) facts.push(`${counted(this.documents, "document")} copied`);
    return `${facts.join("; ")}\n`;
  }

  #others(): string[] {
    return STATUSES.filter((status) => status !== "copied" && this.#counts[status] > 0).map(
      (status) => `${this.#counts[status].toLocaleString("en")} ${status === "existed" ? "already stored" : status}`,
    );
  }
}
