import { PrincipalLimiter } from "../access/principal-limiter.ts";
import type { Principal } from "../access/principal.ts";
import { OpenUploads } from "../core/uploads/open-uploads.ts";
import { VerifiedBlobs } from "../core/verification/verified-blobs.ts";
import type { Channel, Implementation } from "./channel.ts";
import {
  type Changes,
  type Counted,
  idOf,
  type LimitedPrincipal,
  type PrimaryMethods,
  type WorkerMethods,
} from "./membership.ts";

/** Entries of the memory of verified blobs that a new worker receives in one message. */
const VERIFIED_BATCH = 500;

/** The methods of the primary that concern what its workers share. */
type SharingMethods = Omit<PrimaryMethods, "join" | "ready" | "failed">;

/** What one worker uses, to be given back when it ends. */
export class WorkerUse {
  /** Places of running requests, by principal. */
  readonly places: Map<string, Disposable[]> = new Map();
  /** Uploads that were admitted and are not yet in the store. */
  readonly beginning: Set<string> = new Set();
  readonly counts: Readonly<Record<Counted, Map<string | null, number>>> = {
    connections: new Map(),
    requests: new Map(),
  };
}

/**
 * What the workers of a server share, kept by the primary: the limits of principals, the bound on
 * unfinished uploads, the shares of clients, and the memory of what was verified. A worker that
 * ends gives back what it used; uploads that it created stay open. All of it ends with the primary.
 */
export class SharedState {
  /** The workers that have joined, in their order. */
  readonly #workers = new Map<WorkerUse, Channel<WorkerMethods>>();
  readonly #limiter = new PrincipalLimiter();
  readonly #uploads: OpenUploads;
  readonly #verified = new VerifiedBlobs();

  /** @param maxOpen unfinished uploads of all workers */
  constructor(maxOpen: number) {
    this.#uploads = new OpenUploads(maxOpen, {
      isOpen: async ({ hex }) => (await this.#anyWorker?.ask("isUploadOpen", hex)) ?? true,
      evict: async ({ hex }) => (await this.#anyWorker?.ask("evictUpload", hex)) ?? false,
    });
  }

  /** Unfinished uploads of all workers. */
  get openUploads(): number {
    return this.#uploads.count;
  }

  /** What a worker may call. */
  methodsFor(use: WorkerUse): Implementation<SharingMethods> {
    return {
      enter: (principal) => this.#enter(use, principal),
      leave: (principal) => use.places.get(keyOf(principal))?.pop()?.[Symbol.dispose](),
      assertBytes: ({ principal, count }) => this.#limiter.assertBytes(whole(principal), count),
      addBytes: ({ principal, count }) => this.#limiter.addBytes(whole(principal), count),
      admitUpload: async ({ id, ...applicant }) => {
        use.beginning.add(id);
        await this.#uploads.admit(idOf(id), applicant);
      },
      noteUpload: ({ id, expires, owner, offset }) => {
        use.beginning.delete(id);
        this.#uploads.note(idOf(id), { expires, owner }, offset);
      },
      forgetUpload: (id) => {
        use.beginning.delete(id);
        this.#uploads.forget(idOf(id));
      },
      verified: (verifications) => {
        for (const verification of verifications) this.#verified.learn(verification);
        this.#tellOthers(use, (other) => other.tell("verified", verifications));
      },
      forgotten: (hex) => {
        this.#verified.unlearn(hex);
        this.#tellOthers(use, (other) => other.tell("forgotten", hex));
      },
      used: (changes) => {
        for (const [counted, changed] of Object.entries(changes) as [Counted, Changes[Counted]][]) {
          for (const [client, change] of changed) add(use.counts[counted], client, change);
        }
        this.#tellOthers(use, (other) => other.tell("used", changes));
      },
    };
  }

  /** Adds a worker, which learns what the others use and have verified. */
  join(use: WorkerUse, channel: Channel<WorkerMethods>): void {
    for (const { counts } of this.#workers.keys()) channel.tell("used", changesOf(counts, 1));
    this.#workers.set(use, channel);
    const known = Array.from(this.#verified);
    // In several messages, between which the primary does its other work.
    const sendNext = (): void => {
      if (known.length === 0 || !this.#workers.has(use)) return;
      channel.tell("verified", known.splice(0, VERIFIED_BATCH));
      setImmediate(sendNext);
    };
    sendNext();
  }

  /** Gives back what a worker used that has ended. */
  remove(use: WorkerUse): void {
    if (!this.#workers.delete(use)) return;
    for (const places of use.places.values()) for (const place of places) place[Symbol.dispose]();
    for (const id of use.beginning) this.#uploads.forget(idOf(id));
    const returned = changesOf(use.counts, -1);
    for (const channel of this.#workers.values()) channel.tell("used", returned);
  }

  #enter(use: WorkerUse, principal: LimitedPrincipal): void {
    const place = this.#limiter.enter(whole(principal));
    if (place === null) return;
    const key = keyOf(principal);
    const places = use.places.get(key);
    if (places === undefined) use.places.set(key, [place]);
    else places.push(place);
  }

  get #anyWorker(): Channel<WorkerMethods> | undefined {
    const [channel] = this.#workers.values();
    return channel;
  }

  #tellOthers(own: WorkerUse, tell: (other: Channel<WorkerMethods>) => void): void {
    for (const [use, channel] of this.#workers) if (use !== own) tell(channel);
  }
}

/** The principal as its limits need it: what it may do was decided by the worker. */
function whole(principal: LimitedPrincipal): Principal {
  return { ...principal, may: new Set() };
}

function keyOf({ kind, name }: LimitedPrincipal): string {
  return `${kind}:${name}`;
}

function add(counts: Map<string | null, number>, client: string | null, change: number): void {
  const count = (counts.get(client) ?? 0) + change;
  if (count === 0) counts.delete(client);
  else counts.set(client, count);
}

/** All counts as changes. @param sign `-1` to take them back */
function changesOf({ connections, requests }: WorkerUse["counts"], sign: 1 | -1): Changes {
  const changes = (counts: Map<string | null, number>): Changes[Counted] =>
    Array.from(counts, ([client, count]) => [client, sign * count] as const);
  return { connections: changes(connections), requests: changes(requests) };
}
