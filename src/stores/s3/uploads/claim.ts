import { delay } from "../../../base/abort-race.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type { Log } from "../options.ts";
import { Fence } from "./fence.ts";
import type { Records, StoredRecord } from "./records.ts";
import { newToken } from "./upload-state.ts";

/** Milliseconds that a holder gets to save what it has. */
export const GRACE = 1_000;

/** Milliseconds between looks for whether it has let go. */
const LOOK_EVERY = 150;

/** What is known before an upload is claimed. */
export interface ClaimHints {
  /** The holder that this process had before, which need not be waited for. */
  readonly former: string | null;
  /** The record as it was read a moment ago. */
  readonly read: StoredRecord | null;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
}

/** A holder that was asked to let go, and until when it has time for that. */
interface Asked {
  readonly holder: string;
  readonly until: number;
}

/**
 * Takes an upload over, or returns the record of one that was concluded; `null` where there is none. Its holder in another process is asked to let go, by a word in the
 * record, and gets a second; then the record is replaced all the same, and the holder finds that out at its next save.
 *
 * An upload that was concluded names nothing, so nobody needs to be fenced off.
 */
export async function claimUpload(
  records: Records,
  id: UploadId,
  hints: ClaimHints,
): Promise<Fence | StoredRecord | null> {
  const { former, read, signal, log } = hints;
  const token = newToken();
  let asked = null as Asked | null;
  let current = read ?? (await records.read(id, signal));
  while (current !== null && current.state.ended !== "removed") {
    signal?.throwIfAborted();
    if (current.state.ended === "concluded") return current;
    const { holder, isWanted } = current.state;
    if (holder === null || holder === former || (asked?.holder === holder && performance.now() >= asked.until)) {
      const isUntidy = current.state.isUntidy || holder !== null;
      const state = { ...current.state, holder: token, isWanted: false, isUntidy, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      if (outcome.isWritten) return new Fence(records, id, { state, etag: outcome.etag, token, log });
      current = outcome.current;
    } else if (isWanted) {
      // whoever has asked
      if (asked?.holder !== holder) asked = { holder, until: performance.now() + GRACE };
      await delay(LOOK_EVERY, signal);
      current = await records.read(id, signal);
    } else {
      const state = { ...current.state, isWanted: true, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      current = outcome.isWritten ? { state, etag: outcome.etag } : outcome.current;
    }
  }
  // what was begun to be removed is removed
  if (current !== null) await records.remove(id);
  return null;
}
