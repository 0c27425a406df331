import { setTimeout as sleep } from "node:timers/promises";
import type { UploadId } from "../../../core/upload-id.ts";
import type { Log } from "../options.ts";
import { Fence } from "./fence.ts";
import type { Records } from "./records.ts";
import { newToken, superseded } from "./upload-state.ts";

/** Milliseconds that a holder gets to save what it has. */
export const GRACE = 1_000;

/** Milliseconds between looks for whether it has let go. */
const LOOK_EVERY = 150;

/** What is known before an upload is claimed. */
export interface ClaimHints {
  /** The holder that this process had before, which need not be waited for. */
  readonly former: string | null;
  readonly signal: AbortSignal | undefined;
  readonly log: Log;
}

/**
 * Takes an upload over; `null` where there is none. Its holder in another process is asked to let go, by a word in the
 * record, and gets a second; then the record is replaced all the same, and the holder finds that out at its next save.
 *
 * @throws FixityError `upload-superseded` where somebody else asks, or takes over, later than this
 */
export async function claimUpload(records: Records, id: UploadId, hints: ClaimHints): Promise<Fence | null> {
  const token = newToken();
  let asked: { readonly holder: string | null; readonly until: number } | null = null;
  let current = await records.read(id, hints.signal);
  while (current !== null && current.state.ended !== "removed") {
    hints.signal?.throwIfAborted();
    const { holder, wanted } = current.state;
    const isFree = holder === null || holder === hints.former;
    if (asked !== null && !isFree && (holder !== asked.holder || wanted !== token)) throw superseded();
    if (isFree || (asked !== null && performance.now() >= asked.until)) {
      const isUntidy = current.state.isUntidy || holder !== null;
      const state = { ...current.state, holder: token, wanted: null, isUntidy, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      if (outcome.isWritten) return new Fence(records, id, { state, etag: outcome.etag, token, log: hints.log });
      current = outcome.current;
    } else if (asked === null) {
      const state = { ...current.state, wanted: token, revision: newToken() };
      const outcome = await records.replace(id, current.etag, state);
      if (outcome.isWritten) asked = { holder, until: performance.now() + GRACE };
      current = outcome.isWritten ? { state, etag: outcome.etag } : outcome.current;
    } else {
      await sleep(LOOK_EVERY);
      current = await records.read(id, hints.signal);
    }
  }
  // what was begun to be removed is removed
  if (current !== null) await records.remove(id);
  return null;
}
