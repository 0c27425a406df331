import { setTimeout as sleep } from "node:timers/promises";
import type { UploadId } from "../../../core/upload-id.ts";
import { GRACE, Hold, superseded } from "../../uploads/hold.ts";
import type { Log } from "../options.ts";
import { lifeOf, type Owner } from "../../../base/process-identity.ts";
import { type SavedState, unreadable } from "./saved-state.ts";
import { heldToken, restingToken, type Token } from "./token.ts";
import type { FolderView, UploadFolder } from "./upload-folder.ts";
import type { WantedBox } from "./wanted-box.ts";

/** Milliseconds between looks at an upload whose holder was asked to let go. */
const LOOK_EVERY = 40;

/** An upload that was taken over. */
export interface Taken {
  readonly id: UploadId;
  readonly folder: UploadFolder;
  readonly hold: Hold;
  readonly token: Token;
  readonly state: SavedState;
}

/** An upload that has ended, and was not taken. */
export interface Ended {
  readonly ended: SavedState;
}

/** A holder that was asked to let go, and when its time is up. */
interface Asked {
  readonly name: string;
  readonly until: number;
}

/** How uploads go from one holder to the next, in this store or in whatever process has them. */
export class Handover {
  readonly #owner: Owner;
  readonly #box: WantedBox;
  readonly #log: Log;
  /** Holds of this store, by the id of their uploads. They are asked without a detour over the disk. */
  readonly #holds = new Map<string, { readonly hold: Hold; readonly token: Token }>();

  constructor(owner: Owner, box: WantedBox, log: Log) {
    this.#owner = owner;
    this.#box = box;
    this.#log = log;
  }

  /** Takes an upload over unless it has ended; `null` if there is none, and `gone` if it is being removed. */
  async take(
    id: UploadId,
    folder: UploadFolder,
    signal: AbortSignal | undefined,
  ): Promise<Taken | Ended | "gone" | null> {
    let asked: Asked | null = null;
    try {
      for (;;) {
        signal?.throwIfAborted();
        let view = await folder.view();
        const ended = view === null ? null : await folder.endedState(view);
        if (ended !== null) return { ended };
        const own = this.#holds.get(id.hex);
        const deaf = own !== undefined && !(await own.hold.give(signal)) ? own.token.name : null;
        if (own !== undefined) view = await folder.view();
        if (view === null) return null;
        if (view.token.state === "gone") return "gone";
        const { token } = view;
        const isTimeUp = deaf === token.name || (asked?.name === token.holder && performance.now() >= asked.until);
        const next = this.#claimOn(token, isTimeUp);
        if (next === null) asked = await this.#ask(token.holder, asked);
        else if (await folder.exchange(token, next))
          return await this.#settle({ id, folder, before: view, token: next });
      }
    } finally {
      if (asked !== null) await this.#box.withdraw(asked.name);
    }
  }

  /**
   * Lets go of an upload.
   *
   * @param isDurable whether all that can be read of it is
   */
  async release({ id, folder, hold, token }: Omit<Taken, "state">, isDurable: boolean): Promise<void> {
    try {
      if (!hold.lost) await folder.exchange(token, restingToken(token.generation, isDurable ? "free" : "left"));
    } catch (error) {
      this.#log("an upload could not be released: the next one who wants it has to wait for a second", error);
    }
    this.end({ id, hold, token });
  }

  /** The hold is over, with whatever has become of the upload. */
  end({ id, hold, token }: Pick<Taken, "id" | "hold" | "token">): void {
    this.#box.forget(token.holder);
    if (this.#holds.get(id.hex)?.hold === hold) this.#holds.delete(id.hex);
    hold.end();
  }

  /** The token to take an upload with; `null` while its holder may still let go. */
  #claimOn(token: Token, isTimeUp: boolean): Token | null {
    const { state, generation, owner } = token;
    // Who is silent may just be stopped, or out of sight on another machine: only a process that is seen to be gone is.
    const isFree = state !== "held" || (owner !== null && lifeOf(owner, this.#owner) === "dead");
    if (isFree) return heldToken(generation, this.#owner);
    return isTimeUp ? heldToken(generation + 1, this.#owner) : null;
  }

  async #ask(name: string, asked: Asked | null): Promise<Asked> {
    if (asked?.name === name) {
      await sleep(LOOK_EVERY);
      return asked;
    }
    if (asked !== null) await this.#box.withdraw(asked.name);
    await this.#box.post(name);
    return { name, until: performance.now() + GRACE };
  }

  /** Makes sure of what the holder before has left, which is what this one goes on from. */
  async #settle(claim: {
    readonly id: UploadId;
    readonly folder: UploadFolder;
    readonly before: FolderView;
    readonly token: Token;
  }): Promise<Taken> {
    const { id, folder, before, token } = claim;
    const hold = new Hold();
    this.#holds.get(id.hex)?.hold.lose();
    this.#holds.set(id.hex, { hold, token });
    this.#box.watch(token.holder, hold);
    try {
      const state = await settledState(folder, before, token);
      return { id, folder, hold, token, state };
    } catch (error) {
      // Of what fails when the upload has been taken over since the claim, only that matters.
      const isOurs = await folder.has(token).catch(() => true);
      if (!isOurs) hold.lose();
      await this.release({ id, folder, hold, token }, false);
      throw isOurs ? error : superseded();
    }
  }
}

/**
 * The state that is there now, durably and in the generation of the token.
 *
 * @throws FixityError `upload-superseded` where the token is gone already
 */
async function settledState(folder: UploadFolder, before: FolderView, token: Token): Promise<SavedState> {
  const isSettled = before.token.state === "free";
  // A holder that was not asked, or did not hear, may have gone on until a moment ago.
  const view = isSettled ? before : await folder.view();
  // What was seen after somebody else's claim is theirs: to tidy by it would remove their record.
  if (view !== before && view?.token.name !== token.name) throw superseded();
  const found = view === null ? null : await folder.readState(view.generation);
  if (view === null || found === null) throw unreadable();
  const { generation } = token;
  let state = found;
  if (view.generation < generation) {
    // Writers of an older generation are fenced off; their record is ignored from now on.
    state = { ...found, segments: found.segments.filter(({ length }) => length > 0) };
    await folder.writeState(generation, state, Promise.resolve());
  } else if (!isSettled) {
    await folder.settle();
  }
  await folder.tidy({ ...view, generation }, state);
  return state;
}
