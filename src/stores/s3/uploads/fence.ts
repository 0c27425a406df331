import { setTimeout as sleep } from "node:timers/promises";
import type { FixityError } from "../../../core/errors.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type { Log } from "../options.ts";
import type { Records, StoredRecord } from "./records.ts";
import { newToken, superseded, type UploadState } from "./upload-state.ts";

/** Milliseconds between looks at the record, for whether somebody else wants the upload. */
const LOOK_EVERY = 500;

/**
 * Bytes that make a look unnecessary if they have come in since the last one: 2 MiB/s. A client that has lost its connection
 * sends nothing on it, so an upload is wanted by somebody else almost only while it stands still.
 */
const BRISK_BYTES = 1024 * 1024;

/**
 * One holder's lease on an upload: its right to replace the record, for as long as nobody else has. Whoever wants the upload
 * writes so into the record. The holder sees that at its next save, or when it looks at the record in between. It looks each
 * half second while the sender is slow or silent, and not while bytes come in briskly or S3 is waited for: if it is asked to
 * let go in that time it may not notice, and loses what it has not saved.
 */
export class Fence {
  readonly id: UploadId;
  readonly token: string;
  readonly #records: Records;
  readonly #log: Log;
  readonly #wanted = new AbortController();
  readonly #ended = new AbortController();
  #state: UploadState;
  #etag: string;
  /** When the record was last known to be this holder's. */
  #lastContact = performance.now();
  #isLost = false;
  #isReplacing = false;
  /** The revision of a replacement of which it is not known whether it was written. */
  #revisionInDoubt: string | null = null;
  /** Bytes that have come in since the last look. */
  #bytes = 0;
  #pauses = 0;

  /** @param held the record as this holder has written it */
  constructor(records: Records, id: UploadId, held: StoredRecord & { readonly token: string; readonly log: Log }) {
    this.id = id;
    this.token = held.token;
    this.#records = records;
    this.#log = held.log;
    this.#state = held.state;
    this.#etag = held.etag;
    void this.#watch();
  }

  /** As the last replacement has left it. */
  get state(): UploadState {
    return this.#state;
  }

  /** Aborted when somebody else wants the upload. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Somebody else has the upload. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Asks this holder, in its own process, to let go. */
  ask(reason: FixityError = superseded()): void {
    this.#wanted.abort(reason);
  }

  /** Bytes have come in. */
  noteBytes(count: number): void {
    this.#bytes += count;
  }

  /** Looks at the record no more, until the function that it returns is called. */
  pauseWatch(): () => void {
    this.#pauses += 1;
    return () => {
      this.#pauses -= 1;
    };
  }

  /** Shuts this holder out: nothing of it may change anything any more. */
  lose(): void {
    this.#isLost = true;
    this.#ended.abort();
    this.ask();
  }

  /**
   * Replaces the record. One call at a time.
   *
   * @throws FixityError `upload-superseded`; or S3Error, where it is not known whether it was replaced
   */
  async replace(change: (state: UploadState) => UploadState): Promise<void> {
    this.#isReplacing = true;
    try {
      await this.#replace(change);
    } finally {
      this.#isReplacing = false;
      this.#lastContact = performance.now();
    }
  }

  /**
   * Looks whether the upload is still this holder's. Who is asked to let go, and does not, is shut out before long.
   *
   * @throws FixityError `upload-superseded`
   */
  async confirm(signal?: AbortSignal): Promise<void> {
    await this.#look(signal);
    if (this.#isLost) throw superseded();
  }

  /**
   * Ends the hold; the next holder need not wait for this one. Does not fail.
   *
   * @param isUntidy there may be tails that the record does not name
   */
  async release({ isUntidy }: { readonly isUntidy: boolean }): Promise<void> {
    this.#ended.abort();
    if (this.#isLost || this.#state.holder !== this.token) return;
    try {
      await this.replace((state) => ({
        ...state,
        holder: null,
        isWanted: false,
        isUntidy: state.isUntidy || isUntidy,
      }));
    } catch (error) {
      if (!this.#isLost)
        this.#log("an upload could not be released; its next holder waits a second for this one", error);
    }
  }

  async #replace(change: (state: UploadState) => UploadState): Promise<void> {
    for (;;) {
      if (this.#isLost) throw superseded();
      const next = { ...change(this.#state), revision: newToken() };
      this.#revisionInDoubt = next.revision;
      const outcome = await this.#records.replace(this.id, this.#etag, next);
      this.#revisionInDoubt = null;
      if (outcome.isWritten) {
        this.#state = next;
        this.#etag = outcome.etag;
        if (next.holder === null) this.#ended.abort();
        return;
      }
      const { current } = outcome;
      if (current?.state.holder !== this.token) {
        this.lose();
        throw superseded();
      }
      // Somebody asks for the upload, or a save that was taken for lost has arrived: go on from there.
      this.#etag = current.etag;
      this.#state = current.state;
      if (current.state.isWanted) this.ask();
    }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await sleep(LOOK_EVERY, undefined, { signal, ref: false });
        const isBrisk = this.#bytes >= BRISK_BYTES;
        this.#bytes = 0;
        const isDue = performance.now() - this.#lastContact >= LOOK_EVERY && !this.#isReplacing;
        if (isDue && !isBrisk && this.#pauses === 0 && !this.#wanted.signal.aborted) await this.#look(signal);
      } catch (error) {
        if (!signal.aborted) this.#log("the record of an upload could not be looked at", error);
      }
    }
  }

  async #look(signal?: AbortSignal): Promise<void> {
    const before = this.#etag;
    // What a replacement meets meanwhile, it finds out by itself.
    const isOvertaken = () => this.#isReplacing || this.#etag !== before;
    const tag = await this.#records.tagOf(this.id, signal);
    if (tag === before || isOvertaken()) return;
    const current = await this.#records.read(this.id, signal);
    if (isOvertaken()) return;
    if (current !== null && current.state.revision === this.#revisionInDoubt) {
      // The replacement was written although its answer was lost: nobody else has the upload, even if it has ended.
      this.#state = current.state;
      this.#etag = current.etag;
      this.#revisionInDoubt = null;
      if (current.state.holder === null) this.#ended.abort();
      return;
    }
    if (current?.state.holder !== this.token) this.lose();
    else if (current.state.isWanted) this.ask();
  }
}
