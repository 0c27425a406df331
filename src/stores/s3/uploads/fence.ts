import { setTimeout as sleep } from "node:timers/promises";
import type { UploadId } from "../../../core/upload-id.ts";
import { Lease, type Sighting, superseded, type TakeoverTarget, Untaken } from "../../takeover.ts";
import type { Log } from "../options.ts";
import { newToken, type Records, type RecordState, type StoredRecord } from "./records.ts";

/**
 * Milliseconds between looks at the record for whether the former holder has released the upload.
 */
const RELEASE_POLL_MS = 150;

/** Milliseconds between looks at the record for a takeover request of another instance. */
const TAKEOVER_POLL_MS = 500;

/**
 * Bytes received since the last look that make the next look unnecessary: 2 MiB/s. A client that
 * has lost its connection sends nothing on it, so another instance requests an upload almost only
 * while no bytes arrive.
 */
const BRISK_SENDER_MIN_BYTES = 1024 * 1024;

interface SeenRecord extends Sighting {
  readonly stored: StoredRecord;
}

/**
 * A takeover in terms of the record. A holder in another process is asked by a flag in it, and
 * fenced off by replacing it: that holder's next save fails. The look finds `null` if there is no
 * upload, and the record of one that was concluded.
 *
 * @param options `read` is the record as it was read a moment ago
 */
export function recordTarget(
  records: Records,
  id: UploadId,
  options: { readonly read: StoredRecord | null; readonly signal: AbortSignal | undefined; readonly log: Log },
): TakeoverTarget<SeenRecord, Fence, StoredRecord | null> {
  const { read, signal, log } = options;
  /** What the last conditional write has found, so that the next look need not read it again. */
  let known = null as { readonly record: StoredRecord | null } | null;
  return {
    pollMs: RELEASE_POLL_MS,

    async look(isFirst) {
      const stored = known !== null ? known.record : ((isFirst ? read : null) ?? (await records.read(id, signal)));
      known = null;
      if (stored === null) return new Untaken(null);
      const { ended, holder } = stored.state;
      if (ended === "concluded") return new Untaken(stored);
      if (ended === null) return { holder, stored };
      // Finish a removal that another caller has begun.
      await records.remove(id);
      return new Untaken(null);
    },

    async ask({ holder, stored }) {
      let current: StoredRecord | null = stored;
      while (current !== null && current.state.holder === holder && !current.state.isWanted) {
        const state: RecordState = { ...current.state, isWanted: true, revision: newToken() };
        const outcome = await records.replace(id, current.etag, state);
        current = outcome.isWritten ? { state, etag: outcome.etag } : outcome.current;
      }
      known = { record: current };
    },

    async take({ holder, stored }) {
      const lease = new Lease(newToken());
      const isUntidy = stored.state.isUntidy || holder !== null;
      const state = { ...stored.state, holder: lease.name, isWanted: false, isUntidy, revision: newToken() };
      const outcome = await records.replace(id, stored.etag, state);
      if (outcome.isWritten) return new Fence(records, id, { state, etag: outcome.etag, lease, log });
      known = { record: outcome.current };
      return null;
    },
  };
}

/**
 * A holder's lease on an upload as the record enforces it: the right to replace the record, until
 * another holder has replaced it. An instance that takes the upload over sets a flag in the record.
 * The holder sees it at its next save, or when it polls the record in between: each half second
 * while the sender is slow or silent, but not while bytes arrive briskly or S3 is working. A holder
 * that is asked during that time may not notice, and loses what it has not saved.
 */
export class Fence {
  readonly id: UploadId;
  readonly lease: Lease;
  readonly #records: Records;
  readonly #log: Log;
  readonly #ended = new AbortController();
  #state: RecordState;
  #etag: string;
  /** When the record was last known to be this holder's. */
  #lastContact = performance.now();
  #isReplacing = false;
  /** The revision of a replacement that may or may not have been written. */
  #revisionInDoubt: string | null = null;
  /** Bytes received since the last look. */
  #bytes = 0;
  #pauses = 0;

  /** @param held the record as this holder has written it */
  constructor(records: Records, id: UploadId, held: StoredRecord & { readonly lease: Lease; readonly log: Log }) {
    this.id = id;
    this.lease = held.lease;
    this.#records = records;
    this.#log = held.log;
    this.#state = held.state;
    this.#etag = held.etag;
    void this.#watch();
  }

  /** As the last replacement has left it. */
  get state(): RecordState {
    return this.#state;
  }

  /** Whether the record, as far as is known, still names this holder. */
  get isNamed(): boolean {
    return this.#state.holder === this.lease.name;
  }

  countReceived(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Suspends the looks at the record until the returned function is called. */
  pauseWatch(): () => void {
    this.#pauses += 1;
    return () => {
      this.#pauses -= 1;
    };
  }

  /**
   * Replaces the record. One call at a time.
   *
   * @throws FixityError `upload-superseded`; or S3Error if it is not known whether it was replaced
   */
  async replace(change: (state: RecordState) => RecordState): Promise<void> {
    this.#isReplacing = true;
    try {
      await this.#replace(change);
    } finally {
      this.#isReplacing = false;
      this.#lastContact = performance.now();
    }
  }

  /**
   * Looks whether the upload is still this holder's.
   *
   * @throws FixityError `upload-superseded`
   */
  async confirm(signal?: AbortSignal): Promise<void> {
    await this.#look(signal);
    this.lease.assertHeld();
  }

  /**
   * Ends the hold, so that the next holder need not wait for this one. Does not fail.
   *
   * @param isUntidy there may be tails that the record does not name
   */
  async release({ isUntidy }: { readonly isUntidy: boolean }): Promise<void> {
    this.#ended.abort();
    if (this.lease.isLost || !this.isNamed) return;
    try {
      await this.replace((state) => ({
        ...state,
        holder: null,
        isWanted: false,
        isUntidy: state.isUntidy || isUntidy,
      }));
    } catch (error) {
      if (!this.lease.isLost)
        this.#log("an upload could not be released; its next holder waits a second for this one", error);
    }
  }

  /** Removes the record, even if another holder has the upload. */
  async removeRecord(): Promise<void> {
    await this.#records.remove(this.id);
  }

  async #replace(change: (state: RecordState) => RecordState): Promise<void> {
    for (;;) {
      this.lease.assertHeld();
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
      if (current?.state.holder !== this.lease.name) {
        this.lease.lose();
        throw superseded();
      }
      // Another instance asks for the upload, or a save that seemed lost has arrived: continue from
      // that record.
      this.#etag = current.etag;
      this.#state = current.state;
      if (current.state.isWanted) this.lease.requestRelease();
    }
  }

  async #watch(): Promise<void> {
    // A holder that knows that it must release the upload need not poll any more.
    const signal = AbortSignal.any([this.#ended.signal, this.lease.takeover]);
    while (!signal.aborted) {
      try {
        await sleep(TAKEOVER_POLL_MS, undefined, { signal, ref: false });
        const isBrisk = this.#bytes >= BRISK_SENDER_MIN_BYTES;
        this.#bytes = 0;
        const isDue = performance.now() - this.#lastContact >= TAKEOVER_POLL_MS && !this.#isReplacing;
        if (isDue && !isBrisk && this.#pauses === 0) await this.#look(signal);
      } catch (error) {
        if (!signal.aborted) this.#log("the record of an upload could not be checked for takeover requests", error);
      }
    }
  }

  async #look(signal?: AbortSignal): Promise<void> {
    const before = this.#etag;
    // A replacement that runs meanwhile finds out by itself.
    const isOvertaken = () => this.#isReplacing || this.#etag !== before;
    const tag = await this.#records.tagOf(this.id, signal);
    if (tag === before || isOvertaken()) return;
    const current = await this.#records.read(this.id, signal);
    if (isOvertaken()) return;
    if (current !== null && current.state.revision === this.#revisionInDoubt) {
      // The replacement was written although its answer was lost: there is no other holder, even if
      // the upload has ended.
      this.#state = current.state;
      this.#etag = current.etag;
      this.#revisionInDoubt = null;
      if (current.state.holder === null) this.#ended.abort();
      return;
    }
    if (current?.state.holder !== this.lease.name) this.lease.lose();
    else if (current.state.isWanted) this.lease.requestRelease();
  }
}
