/**
 * How quickly a server copies whole objects. Some only note that two objects share their bytes (Ceph: 320 MiB in 67 ms),
 * others copy them one after another (AWS). That is a fact of the server, so the best that was seen holds: what took longer
 * had to wait for something else.
 */
export class CopyPace {
  /** Bytes a millisecond. */
  #best: number | null = null;

  /** An object was copied, as a whole. */
  note(bytes: number, milliseconds: number): void {
    this.#best = Math.max(this.#best ?? 0, bytes / Math.max(milliseconds, 1));
  }

  /** Bytes that are copied in so many milliseconds; `null` while nothing was copied. */
  bytesWithin(milliseconds: number): number | null {
    return this.#best === null ? null : this.#best * milliseconds;
  }
}
