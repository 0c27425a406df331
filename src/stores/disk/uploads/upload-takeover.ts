import { join } from "node:path";
import { lifeOf, type Owner } from "../../../base/process-identity.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import { Lease, superseded, Takeovers, type TakeoverTarget, Untaken } from "../../takeover.ts";
import { close, open, readdir } from "../calls.ts";
import { failedWith, type FileSystem } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import {
  type FolderView,
  heldToken,
  restingToken,
  type SavedState,
  type Token,
  unreadable,
  type UploadFolder,
} from "./upload-folder.ts";

/** The pause between two looks at an upload whose holder was asked to release it. */
const POLL_MS = 40;

/** The pause between two looks for requests of other processes. */
const REQUEST_POLL_MS = 250;

/** An upload that was taken over. */
export interface Taken {
  readonly id: UploadId;
  readonly folder: UploadFolder;
  readonly lease: Lease;
  readonly token: Token;
  readonly state: SavedState;
}

/** An upload that has ended, and was not taken. */
export interface Ended {
  readonly ended: SavedState;
}

/**
 * A look that found an upload to take; `holder` is `null` if its process is dead or the upload is
 * not held.
 */
interface Seen {
  readonly view: FolderView;
  readonly holder: string | null;
}

/** A token that was taken, and the folder as it was before. */
interface Claim {
  readonly before: FolderView;
  readonly token: Token;
  readonly lease: Lease;
}

/**
 * Takeovers of uploads on disk. The holder is named by the token in the upload's folder. It is
 * asked through a request file and fenced off by a token of the next generation.
 */
export class DiskTakeovers {
  readonly #owner: Owner;
  readonly #files: FileSystem;
  readonly #requests: ReleaseRequests;
  readonly #takeovers = new Takeovers();

  constructor(layout: Layout, files: FileSystem, owner: Owner) {
    this.#owner = owner;
    this.#files = files;
    this.#requests = new ReleaseRequests(layout, files);
  }

  /**
   * Takes an upload over unless it has ended; `null` if there is none, `gone` if it is being
   * removed.
   */
  async take(
    id: UploadId,
    folder: UploadFolder,
    signal: AbortSignal | undefined,
  ): Promise<Taken | Ended | "gone" | null> {
    const claim = await this.#takeovers.takeOver(id, this.#target(folder), signal);
    if (claim === null || claim === "gone" || "ended" in claim) return claim;
    const { before, token, lease } = claim;
    try {
      return { id, folder, lease, token, state: await settledState(folder, before, token) };
    } catch (error) {
      // If another process has taken the upload over since the claim, only that matters.
      const isHeld = await folder.has(token).catch(() => true);
      if (!isHeld) lease.lose();
      await this.release({ folder, lease, token }, false);
      throw isHeld ? error : superseded();
    }
  }

  /** Releases an upload. @param isDurable whether everything that can be read of it is durable */
  async release(
    { folder, lease, token }: Pick<Taken, "folder" | "lease" | "token">,
    isDurable: boolean,
  ): Promise<void> {
    let isStillNamed = false;
    try {
      if (!lease.isLost) await folder.exchange(token, restingToken(token.generation, isDurable ? "free" : "left"));
    } catch (error) {
      isStillNamed = true;
      this.#files.log("an upload could not be released: its next holder has to wait for a second", error);
    }
    this.end(lease, isStillNamed);
  }

  /** Ends a lease, whatever has become of the upload. */
  end(lease: Lease, isStillNamed = false): void {
    this.#requests.unwatch(lease);
    lease.release(isStillNamed);
  }

  #target(folder: UploadFolder): TakeoverTarget<Seen, Claim, Ended | "gone" | null> {
    return {
      pollMs: POLL_MS,
      look: async () => {
        const view = await folder.view();
        if (view === null) return new Untaken(null);
        const { token } = view;
        if (token.state === "gone") return new Untaken("gone");
        const ended = await folder.endedState(view);
        if (ended !== null) return new Untaken({ ended });
        return { view, holder: this.#isFree(token) ? null : token.holder };
      },
      ask: ({ view }) => this.#requests.post(view.token.holder),
      withdraw: (holder) => this.#requests.withdraw(holder),
      take: async ({ view, holder }) => {
        const { generation } = view.token;
        const token = heldToken(holder === null ? generation : generation + 1, this.#owner);
        if (!(await folder.exchange(view.token, token))) return null;
        const lease = new Lease(token.holder);
        this.#requests.watch(lease);
        return { before: view, token, lease };
      },
    };
  }

  /**
   * A silent holder may be stopped, or out of sight on another machine: only a process seen to be
   * dead holds nothing.
   */
  #isFree({ state, owner }: Token): boolean {
    return state !== "held" || (owner !== null && lifeOf(owner, this.#owner) === "dead");
  }
}

/**
 * The state from which a new holder continues, durable and in the generation of its token.
 *
 * @throws FixityError `upload-superseded` if the token is gone already
 */
async function settledState(folder: UploadFolder, before: FolderView, token: Token): Promise<SavedState> {
  const isSettled = before.token.state === "free";
  // A holder that was not asked, or did not notice, may have written until a moment ago.
  const view = isSettled ? before : await folder.view();
  // A view after another process's claim is that process's: tidying by it would remove its record.
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

/**
 * How processes ask each other to release uploads: a folder (`uploads/wanted/`) with an empty file
 * for each request, named after the lease. Holders poll this one folder for all their uploads.
 */
class ReleaseRequests {
  readonly #layout: Layout;
  readonly #files: FileSystem;
  readonly #leases = new Map<string, Lease>();
  #timer: NodeJS.Timeout | null = null;
  #isLooking = false;
  #hasFailed = false;

  constructor(layout: Layout, files: FileSystem) {
    this.#layout = layout;
    this.#files = files;
  }

  /** Looks for requests for a lease of this store from now on. */
  watch(lease: Lease): void {
    this.#leases.set(lease.name, lease);
    this.#timer ??= setInterval(() => void this.#look(), REQUEST_POLL_MS).unref();
  }

  unwatch(lease: Lease): void {
    this.#leases.delete(lease.name);
    if (this.#leases.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Requests the release of another store's lease. */
  async post(name: string): Promise<void> {
    const { wanted, modes } = this.#layout;
    const path = join(wanted, name);
    this.#files.cancelRemoval(path);
    try {
      await close(await open(path, "w", modes.file));
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await modes.mkdirs(wanted);
      await close(await open(path, "w", modes.file));
    }
  }

  /** Removes a request, whether it was met or not. Never throws. */
  async withdraw(name: string): Promise<void> {
    await this.#files.remove(join(this.#layout.wanted, name), "a request for an upload");
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const name of await readdir(this.#layout.wanted)) this.#leases.get(name)?.requestRelease();
      this.#hasFailed = false;
    } catch (error) {
      const isFailure = !failedWith(error, "ENOENT");
      // Logged once, not four times a second.
      if (isFailure && !this.#hasFailed) this.#files.log("requests for uploads could not be read", error);
      this.#hasFailed = isFailure;
    } finally {
      this.#isLooking = false;
    }
  }
}
