import { formatSize } from "../base/format-size.ts";
import { formatDuration, plainBar, RateMeter } from "./progress.ts";
import { counted } from "./text.ts";

const BAR_MIN_COLUMNS = 10;
const BAR_MAX_COLUMNS = 30;

/** With fewer completed prefixes, an estimate of the remaining time would be a guess. */
const ESTIMATE_PREFIXES_MIN = 3;

/** Where a line is shown. */
export interface LineStyle {
  readonly columns: number;
  readonly isUnicode: boolean;
}

/** How far a walk over all blobs, prefix by prefix, has come. */
export class WalkProgress {
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #rate = new RateMeter();
  #bytes = 0;
  #prefixesDone = 0;
  #prefixes: number | null = null;

  /** @param now milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#startedAt = now();
  }

  /** Called with bytes as they are read, also of blobs that have no result yet. */
  addBytes(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The number of prefixes that the walk is over. */
  expectPrefixes(count: number): void {
    this.#prefixes = count;
  }

  endPrefix(): void {
    this.#prefixesDone += 1;
  }

  /**
   * The progress in one line, with a bar if there is room.
   *
   * @param blobs the number of blobs that have a result
   * @param notable what the user should know besides: `3 damaged`
   */
  line(blobs: number, notable: readonly string[], { columns, isUnicode }: LineStyle): string {
    const now = this.#now();
    const rate = this.#rate.sample(this.#bytes, now);
    const facts = [
      this.#prefixes === null ? "" : `prefix ${Math.min(this.#prefixesDone + 1, this.#prefixes)} of ${this.#prefixes}`,
      counted(blobs, "blob"),
      formatSize(this.#bytes),
      rate === null ? "" : `${formatSize(rate)}/s`,
      this.#remaining(now),
      ...notable,
    ];
    const text = facts.filter((fact) => fact !== "").join(", ");
    const barColumns = Math.min(BAR_MAX_COLUMNS, columns - text.length - 2);
    if (this.#prefixes === null || barColumns < BAR_MIN_COLUMNS) return text;
    const share = this.#prefixes === 0 ? 1 : this.#prefixesDone / this.#prefixes;
    return `${plainBar(share, barColumns, isUnicode)}  ${text}`;
  }

  #remaining(now: number): string {
    if (this.#prefixes === null || this.#prefixesDone < ESTIMATE_PREFIXES_MIN) return "";
    const left = this.#prefixes - this.#prefixesDone;
    return `${formatDuration(((now - this.#startedAt) / this.#prefixesDone / 1000) * left)} left`;
  }
}
