import { setTimeout as sleep } from "node:timers/promises";
import { delay } from "../../../base/abort-race.ts";
import { FixityError } from "../../../core/errors.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type { Log } from "../options.ts";
import { newToken, type Records, type RecordState, type StoredRecord } from "./records.ts";

/** Milliseconds that a holder has to save and release once it is asked to let go; the port promises a second. */
export const TAKEOVER_GRACE_MS = 1_000;

/** Milliseconds between looks at the record for whether the former holder has let go. */
const RELEASE_POLL_MS = 150;

/** Milliseconds between looks at the record for whether another instance wants the upload. */
const TAKEOVER_POLL_MS = 500;

/**
 * Bytes received since the last look that make the next look unnecessary: 2 MiB/s. A client that has
 * lost its connection sends nothing on it, so another instance wants an upload almost only while it
 * stands still.
 */
const BRISK_BYTES = 1024 * 1024;

/** What is known of an upload before it is taken over. */
export interface TakeoverHints {
  /** The token of a holder of this process that has let go, and need not be waited for. */
  readonly formerToken: string | null;
  /** The record as it was read a moment ago. */
  readonly read: StoredRecord | null;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
}

/**
 * Takes an upload over, or returns the record of one that was concluded; `null` if there is none. A holder in another process is asked to let go by a
 * flag in the record, and has {@link TAKEOVER_GRACE_MS} for it. Then the record is replaced all the
 * same, which fences that holder off: its next save fails.
 */
export async function takeOver(
  records: Records,
  id: UploadId,
  hints: TakeoverHints,
): Promise<Fence | StoredRecord | null> {
  const { formerToken, read, signal, log } = hints;
  const token = newToken();
  let asked = null as { readonly holder: string; readonly deadline: number } | null;
  let current = read ?? (await records.read(id, signal));
  while (current !== null && current.state.ended !== "removed") {
    signal?.throwIfAborted();
    if (current.state.ended === "concluded") return current;
    const { holder, isWanted } = current.state;
    const isOverdue = asked !== null && asked.holder === holder && performance.now() >= asked.deadline;
    if (holder === null || holder === formerToken || isOverdue) {
      const isUntidy = current.state.isUntidy || holder !== null;
      const state = { ...current.state, holder: token, isWanted: false, isUntidy, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      if (outcome.isWritten) return new Fence(records, id, { state, etag: outcome.etag, token, log });
      current = outcome.current;
    } else if (isWanted) {
      // It may be another instance that has asked.
      if (asked?.holder !== holder) asked = { holder, deadline: performance.now() + TAKEOVER_GRACE_MS };
      await delay(RELEASE_POLL_MS, signal);
      current = await records.read(id, signal);
    } else {
      const state = { ...current.state, isWanted: true, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      current = outcome.isWritten ? { state, etag: outcome.etag } : outcome.current;
    }
  }
  // A removal that was begun is finished.
  if (current !== null) await records.remove(id);
  return null;
}

/**
 * A holder's lease on an upload: the right to replace the record, until another holder has replaced
 * it. Whoever wants the upload writes so into the record, and the holder learns it at its next save,
 * or when it looks at the record in between. It looks each half second while the sender is slow or
 * silent, and not while bytes arrive briskly or S3 is waited for. A holder that is asked in that time
 * may not notice, and loses what it has not saved.
 */
export class Fence {
  readonly id: UploadId;
  readonly token: string;
  readonly #records: Records;
  readonly #log: Log;
  readonly #takeover = new AbortController();
  readonly #ended = new AbortController();
  #state: RecordState;
  #etag: string;
  /** When the record was last known to be this holder's. */
  #lastContact = performance.now();
  #isLost = false;
  #isReplacing = false;
  /** The revision of a replacement that may or may not have been written. */
  #revisionInDoubt: string | null = null;
  /** Bytes received since the last look. */
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
  get state(): RecordState {
    return this.#state;
  }

  /** Aborted when another caller wants the upload. */
  get takeover(): AbortSignal {
    return this.#takeover.signal;
  }

  /** Another holder has the upload. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Asks this holder to let go. */
  ask(reason: FixityError = superseded()): void {
    this.#takeover.abort(reason);
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

  /** Fences this holder off: it may not change anything any more. */
  lose(): void {
    this.#isLost = true;
    this.#ended.abort();
    this.ask();
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
    if (this.#isLost) throw superseded();
  }

  /**
   * Ends the hold, so that the next holder need not wait for this one. Does not fail.
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

  /** Removes the record, whoever holds the upload. */
  async removeRecord(): Promise<void> {
    await this.#records.remove(this.id);
  }

  async #replace(change: (state: RecordState) => RecordState): Promise<void> {
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
      // Another instance asks for the upload, or a save that seemed lost has arrived: continue from that record.
      this.#etag = current.etag;
      this.#state = current.state;
      if (current.state.isWanted) this.ask();
    }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await sleep(TAKEOVER_POLL_MS, undefined, { signal, ref: false });
        const isBrisk = this.#bytes >= BRISK_BYTES;
        this.#bytes = 0;
        const isDue = performance.now() - this.#lastContact >= TAKEOVER_POLL_MS && !this.#isReplacing;
        if (isDue && !isBrisk && this.#pauses === 0 && !this.#takeover.signal.aborted) await this.#look(signal);
      } catch (error) {
        if (!signal.aborted) this.#log("the record of an upload could not be looked at", error);
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
      // The replacement was written although its answer was lost: there is no other holder, even if the upload has ended.
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

export function superseded(): FixityError {
  return new FixityError("upload-superseded", "Another request has taken the upload over.");
}
