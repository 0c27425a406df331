import { formatSize } from "../base/format-size.ts";
import type { Digest } from "../core/digest.ts";
import { paint } from "./output.ts";
import { counted } from "./text.ts";
import { WalkProgress } from "./walk-progress.ts";

/** Statuses of blobs that are not in order. */
const BAD_STATUSES = ["damaged", "missing", "unreadable"] as const;
const NOTABLE_STATUSES = ["damaged", "missing", "unreadable", "repaired", "blocked"] as const;

const COLOURS: Partial<Readonly<Record<VerifiedBlob["status"], "green" | "yellow">>> = {
  repaired: "green",
  blocked: "yellow",
};

/** The result for one blob. */
export interface VerifiedBlob {
  /**
   * `unreadable`: the store could not read it, so its state is unknown. `repaired`: it was damaged,
   * missing or unreadable, and the right bytes have been stored. `blocked`: it was, and the operator
   * has blocked it.
   */
  readonly status: "intact" | (typeof NOTABLE_STATUSES)[number];
  /** `null` for something in the place of a folder of blobs. */
  readonly digest: Digest | null;
  /**
   * The path, below the store's folder, of something that is not a blob but has the place of one.
   */
  readonly path?: string;
  /** Bytes read. */
  readonly size?: number;
  readonly reason?: string;
  /** Why it was not repaired, or where its bytes are from. */
  readonly repair?: string;
}

/** A result as one line of text. */
export function formatBlob({ status, digest, path, size, reason, repair }: VerifiedBlob): string {
  const facts = [size === undefined ? "" : formatSize(size), reason ?? "", repair ?? ""].filter((fact) => fact !== "");
  const line = `${paint(COLOURS[status] ?? "red", status.padEnd(10))}  ${String(digest ?? path)}`;
  return facts.length === 0 ? line : `${line}  ${facts.join(", ")}`;
}

/** Counts the results of a run. */
export class Tally {
  readonly #counts = { intact: 0, damaged: 0, missing: 0, unreadable: 0, repaired: 0, blocked: 0 };
  readonly #progress: WalkProgress;
  #bytes = 0;

  /** @param now milliseconds */
  constructor(now?: () => number) {
    this.#progress = new WalkProgress(now);
  }

  add({ status, size = 0 }: VerifiedBlob): void {
    this.#counts[status] += 1;
    this.#bytes += size;
  }

  /** Called with bytes as they are read, also of blobs that have no result yet, and of second reads. */
  addRead(bytes: number): void {
    this.#progress.addBytes(bytes);
  }

  /** The number of prefixes that will be read. */
  expectPrefixes(count: number): void {
    this.#progress.expectPrefixes(count);
  }

  endPrefix(): void {
    this.#progress.endPrefix();
  }

  /** The number of blobs per status, and of their bytes. */
  get counts(): Readonly<Record<VerifiedBlob["status"] | "bytes", number>> {
    const { intact, damaged, missing, unreadable, repaired, blocked } = this.#counts;
    return { intact, damaged, missing, unreadable, repaired, blocked, bytes: this.#bytes };
  }

  get isGood(): boolean {
    return BAD_STATUSES.every((status) => this.#counts[status] === 0);
  }

  /** The progress so far, in one line. */
  progress(columns: number, isUnicode: boolean): string {
    return this.#progress.line(this.#total, this.#notable(), { columns, isUnicode });
  }

  /**
   * @param isComplete whether everything was read that should be
   * @param isPartial whether that was not the whole store
   */
  summary(isComplete: boolean, isPartial: boolean): string {
    if (this.#total === 0 && !isComplete) return "stopped before the first blob was read";
    if (this.#total === 0) return isPartial ? "no blobs are due" : "no blobs are stored";
    const notable = this.#notable();
    const verdict = notable.length === 0 ? "all intact" : notable.join(", ");
    const blobs = counted(this.#total, "blob");
    return `${isComplete ? "" : "stopped early: "}${blobs} verified, ${formatSize(this.#bytes)}: ${verdict}`;
  }

  get #total(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  #notable(): string[] {
    return NOTABLE_STATUSES.filter((status) => this.#counts[status] > 0).map(
      (status) => `${this.#counts[status].toLocaleString("en")} ${status}`,
    );
  }
}
