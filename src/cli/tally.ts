import type { Digest } from "../core/digest.ts";
import { formatSize } from "../base/format-size.ts";
import { counted } from "./text.ts";

/** What verifying one blob has shown. */
export interface Examined {
  /** `unreadable`: the store could not give it, so that nothing is known of it. */
  readonly status: "intact" | "damaged" | "missing" | "unreadable";
  /** `null` for something in the place of a whole folder of blobs. */
  readonly digest: Digest | null;
  /** Of something that is not a blob and stands in the place of one, below the store's folder. */
  readonly path?: string;
  /** Bytes that were read. */
  readonly size?: number;
  readonly reason?: string;
}

const NOT_WELL = ["damaged", "missing", "unreadable"] as const;

/** What a run of `fixity verify` has seen until now. */
export class Tally {
  readonly #counts = { intact: 0, damaged: 0, missing: 0, unreadable: 0 };
  #bytes = 0;
  #begun = performance.now();

  /** The first blob is about to be read. */
  begin(): void {
    this.#begun = performance.now();
  }

  add({ status, size = 0 }: Examined): void {
    this.#counts[status] += 1;
    this.#bytes += size;
  }

  /** How many blobs were found to be what, and the bytes that were read. */
  get counts(): Readonly<Record<Examined["status"] | "bytes", number>> {
    return { ...this.#counts, bytes: this.#bytes };
  }

  get isWell(): boolean {
    return NOT_WELL.every((status) => this.#counts[status] === 0);
  }

  /** For a line that is written again and again. */
  progress(): string {
    const seconds = Math.max(0.001, (performance.now() - this.#begun) / 1000);
    return `${this.#blobs()} verified, ${formatSize(this.#bytes)}, ${formatSize(this.#bytes / seconds)}/s${this.#bad(", ")}`;
  }

  /** @param isWhole all was read that there was to read */
  summary(isWhole: boolean): string {
    if (this.#total === 0) return isWhole ? "no blobs are stored" : "stopped before the first blob was read";
    return `${isWhole ? "" : "stopped early: "}${this.#blobs()} verified, ${formatSize(this.#bytes)}: ${this.isWell ? "all intact" : this.#bad("")}`;
  }

  get #total(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  #blobs(): string {
    return counted(this.#total, "blob");
  }

  #bad(before: string): string {
    if (this.isWell) return "";
    const bad = NOT_WELL.filter((status) => this.#counts[status] > 0);
    return before + bad.map((status) => `${this.#counts[status].toLocaleString("en")} ${status}`).join(", ");
  }
}
