import { formatSize } from "../base/format-size.ts";
import type { Digest } from "../core/digest.ts";
import { paint } from "./output.ts";
import { formatDuration, plainBar, RateMeter } from "./progress.ts";
import { counted } from "./text.ts";

/** Statuses of blobs that are not in order. */
const BAD_STATUSES = ["damaged", "missing", "unreadable"] as const;
const NOTABLE_STATUSES = ["damaged", "missing", "unreadable", "repaired"] as const;

const BAR_MIN_COLUMNS = 10;
const BAR_MAX_COLUMNS = 30;

/** With fewer completed prefixes, an estimate of the remaining time would be a guess. */
const ESTIMATE_PREFIXES_MIN = 3;

/** The result for one blob. */
export interface VerifiedBlob {
  /**
   * `unreadable`: the store could not read it, so its state is unknown. `repaired`: it was damaged,
   * missing or unreadable, and the right bytes have been stored.
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
  const line = `${paint(status === "repaired" ? "green" : "red", status.padEnd(10))}  ${String(digest ?? path)}`;
  return facts.length === 0 ? line : `${line}  ${facts.join(", ")}`;
}

/** Counts the results of a run. */
export class Tally {
  readonly #counts = { intact: 0, damaged: 0, missing: 0, unreadable: 0, repaired: 0 };
  readonly #startedAt: number;
  readonly #now: () => number;
  readonly #rate = new RateMeter();
  #bytes = 0;
  #bytesRead = 0;
  #prefixesDone = 0;
  #prefixes: number | null = null;

  /** @param now milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#startedAt = now();
  }

  add({ status, size = 0 }: VerifiedBlob): void {
    this.#counts[status] += 1;
    this.#bytes += size;
  }

  /** Called with bytes as they are read, also of blobs that have no result yet, and of second reads. */
  addRead(bytes: number): void {
    this.#bytesRead += bytes;
  }

  /** The number of prefixes that will be read. */
  expectPrefixes(count: number): void {
    this.#prefixes = count;
  }

  endPrefix(): void {
    this.#prefixesDone += 1;
  }

  /** The number of blobs per status, and of their bytes. */
  get counts(): Readonly<Record<VerifiedBlob["status"] | "bytes", number>> {
    const { intact, damaged, missing, unreadable, repaired } = this.#counts;
    return { intact, damaged, missing, unreadable, repaired, bytes: this.#bytes };
  }

  get isGood(): boolean {
    return BAD_STATUSES.every((status) => this.#counts[status] === 0);
  }

  /** The progress so far, in one line. */
  progress(columns: number, isUnicode: boolean): string {
    const now = this.#now();
    const rate = this.#rate.sample(this.#bytesRead, now);
    const facts = [
      this.#prefixes === null ? "" : `prefix ${Math.min(this.#prefixesDone + 1, this.#prefixes)} of ${this.#prefixes}`,
      counted(this.#total, "blob"),
      formatSize(this.#bytesRead),
      rate === null ? "" : `${formatSize(rate)}/s`,
      this.#remaining(now),
      ...this.#notable(),
    ];
    const text = facts.filter((fact) => fact !== "").join(", ");
    const barColumns = Math.min(BAR_MAX_COLUMNS, columns - text.length - 2);
    if (this.#prefixes === null || barColumns < BAR_MIN_COLUMNS) return text;
    const share = this.#prefixes === 0 ? 1 : this.#prefixesDone / this.#prefixes;
    return `${plainBar(share, barColumns, isUnicode)}  ${text}`;
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

  #remaining(now: number): string {
    if (this.#prefixes === null || this.#prefixesDone < ESTIMATE_PREFIXES_MIN) return "";
    const left = this.#prefixes - this.#prefixesDone;
    return `${formatDuration(((now - this.#startedAt) / this.#prefixesDone / 1000) * left)} left`;
  }

  #notable(): string[] {
    return NOTABLE_STATUSES.filter((status) => this.#counts[status] > 0).map(
      (status) => `${this.#counts[status].toLocaleString("en")} ${status}`,
    );
  }
}
