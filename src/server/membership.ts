import type { PrincipalLimits } from "../access/principal-limiter.ts";
import type { MetricJson } from "./metrics/metrics-text.ts";
import type { Owner, Principal } from "../access/principal.ts";
import { FairShare } from "../base/fair-share.ts";
import { FixityError } from "../core/errors.ts";
import type { SharedMemory } from "../core/fixity.ts";
import { UploadId } from "../core/upload-id.ts";
import type { Applicant, OpenUploadsBound, OpenUploadsStore } from "../core/uploads/open-uploads.ts";
import { type SharedVerification, VerifiedBlobs } from "../core/verification/verified-blobs.ts";
import type { Channel, Implementation } from "./channel.ts";

/*
 * What a worker shares with the others through the primary (`shared-state.ts` is the primary's
 * side):
 *
 * - **Limits of principals, and the bound on unfinished uploads**: the primary counts, and the worker
 *   asks before it admits. Only principals with a limit, and only creations of resumable uploads
 *   cost a round trip.
 * - **Shares of clients** in connections and requests: every worker counts for itself, and reports
 *   changes ten times a second. They bound what one client takes from others, so a tenth of a second
 *   does no harm, and a request costs no message.
 * - **What was verified**: reported in batches, and passed on to all workers.
 */

/** How long changes are collected before they are sent. */
const SHARES_DELAY_MS = 100;
const VERIFIED_DELAY_MS = 10;

/** Raised whenever the methods below change, so that an older primary refuses a newer worker. */
export const PROTOCOL = 1;

/** What is counted per client. */
export type Counted = "connections" | "requests";

/** Changes of counts by client; `null` for clients without a limit. */
export type Changes = Readonly<Record<Counted, readonly (readonly [client: string | null, change: number])[]>>;

/** A principal, as far as its limits matter. */
export type LimitedPrincipal = Pick<Principal, "kind" | "name"> & {
  readonly limits: Pick<Principal["limits"], "maxRequests" | "maxBytesPerDay">;
};

/** What the primary offers to its workers. */
export interface PrimaryMethods {
  /** The first call of a worker. Returns the port to listen on. @throws FixityError for another protocol */
  join(protocol: number): number;
  /** The worker listens. */
  ready(facts: { readonly url: string; readonly storeDescription: string }): void;
  /** The worker could not start, and ends. */
  failed(error: Pick<FixityError, "code" | "message">): void;
  /** @throws FixityError `principal-limit-exceeded`, as the next two */
  enter(principal: LimitedPrincipal): void;
  leave(principal: LimitedPrincipal): void;
  assertBytes(bytes: { readonly principal: LimitedPrincipal; readonly count: number }): void;
  addBytes(bytes: { readonly principal: LimitedPrincipal; readonly count: number }): void;
  /** @throws FixityError `too-many-uploads`, `principal-limit-exceeded`, or a `store-…` code */
  admitUpload(upload: Applicant & { readonly id: string }): void;
  noteUpload(upload: NotedUpload): void;
  forgetUpload(id: string): void;
  verified(verifications: readonly SharedVerification[]): void;
  forgotten(hex: string): void;
  used(changes: Changes): void;
}

export interface NotedUpload {
  readonly id: string;
  readonly expires: number;
  readonly owner: Owner | null;
  readonly offset: number;
}

/** What a worker offers to the primary. */
export interface WorkerMethods {
  /** This worker collects garbage from now on. */
  lead(none: null): void;
  /** Tokens and keys are read again. */
  reload(none: null): void;
  /** Another worker replaces this one: it accepts no connections, answers what it has, and ends. */
  retire(none: null): void;
  /** The server is about to stop. */
  drain(none: null): void;
  /** What the worker measures; nothing unless a port for metrics is set. */
  metrics(none: null): MetricJson[];
  /** The server stops: as a server of one process does. */
  stop(none: null): void;
  isUploadOpen(id: string): boolean;
  evictUpload(id: string): boolean;
  verified(verifications: readonly SharedVerification[]): void;
  forgotten(hex: string): void;
  used(changes: Changes): void;
}

/** The methods of a worker that concern what it shares. */
export type SharingMethods = Pick<
  WorkerMethods,
  "isUploadOpen" | "evictUpload" | "verified" | "forgotten" | "used" | "lead"
>;

/** A worker's part in its server. A server of one process has none. */
export class Membership {
  /** For the log. */
  readonly number: number;
  readonly limiter: PrincipalLimits;
  readonly memory: SharedMemory;
  readonly connections: FairShare;
  readonly requests: FairShare;
  readonly methods: Implementation<SharingMethods>;
  readonly #changes: Readonly<Record<Counted, Map<string | null, number>>> = {
    connections: new Map(),
    requests: new Map(),
  };
  readonly #channel: Channel<PrimaryMethods>;
  #changesTimer: NodeJS.Timeout | null = null;
  #verified: SharedVerification[] = [];
  #uploads: OpenUploadsStore | null = null;
  readonly #leads = Promise.withResolvers<void>();

  /** @param connections the number of connections that all workers together accept */
  constructor(channel: Channel<PrimaryMethods>, number: number, connections: number) {
    this.#channel = channel;
    this.number = number;
    this.limiter = limitsOf(channel);
    const verified = new VerifiedBlobs({
      onVerified: (verification) => this.#report(verification),
      onForgotten: (hex) => {
        this.#verified = this.#verified.filter((pending) => pending.hex !== hex);
        channel.tell("forgotten", hex);
      },
    });
    this.memory = {
      verified,
      openUploads: (store) => {
        this.#uploads = store;
        return openUploadsOf(channel);
      },
    };
    this.connections = new FairShare(connections, (client, change) => this.#count("connections", client, change));
    this.requests = new FairShare(connections, (client, change) => this.#count("requests", client, change));
    this.methods = {
      lead: () => this.#leads.resolve(),
      isUploadOpen: async (id) => (await this.#uploads?.isOpen(idOf(id))) ?? true,
      evictUpload: async (id) => (await this.#uploads?.evict(idOf(id))) ?? false,
      verified: (verifications) => {
        for (const verification of verifications) verified.learn(verification);
      },
      forgotten: (hex) => verified.unlearn(hex),
      used: ({ connections, requests }) => {
        for (const [client, change] of connections) this.connections.addElsewhere(client, change);
        for (const [client, change] of requests) this.requests.addElsewhere(client, change);
      },
    };
  }

  /** Resolves when this worker is to do what one process of a server does: collect garbage. */
  get leads(): Promise<void> {
    return this.#leads.promise;
  }

  #count(counted: Counted, client: string | null, change: number): void {
    const changes = this.#changes[counted];
    changes.set(client, (changes.get(client) ?? 0) + change);
    if (this.#changesTimer === null) {
      this.#changesTimer = setTimeout(() => this.#sendChanges(), SHARES_DELAY_MS).unref();
    }
  }

  #sendChanges(): void {
    this.#changesTimer = null;
    const { connections, requests } = this.#changes;
    const changes = { connections: taken(connections), requests: taken(requests) };
    if (changes.connections.length + changes.requests.length > 0) this.#channel.tell("used", changes);
  }

  #report(verification: SharedVerification): void {
    this.#verified.push(verification);
    if (this.#verified.length > 1) return;
    setTimeout(() => {
      if (this.#verified.length > 0) this.#channel.tell("verified", this.#verified);
      this.#verified = [];
    }, VERIFIED_DELAY_MS).unref();
  }
}

/** Removes and returns all changes that do not cancel out. */
function taken(changes: Map<string | null, number>): readonly (readonly [string | null, number])[] {
  const entries = Array.from(changes).filter(([, change]) => change !== 0);
  changes.clear();
  return entries;
}

function limitsOf(channel: Channel<PrimaryMethods>): PrincipalLimits {
  return {
    enter: (principal) => {
      const limited = limitedPrincipal(principal);
      if (limited.limits.maxRequests === undefined) return null;
      const leave = { [Symbol.dispose]: () => channel.tell("leave", limited) };
      return channel.ask("enter", limited).then(() => leave);
    },
    assertBytes: (principal, count) => {
      if (principal.limits.maxBytesPerDay === undefined) return undefined;
      return channel.ask("assertBytes", { principal: limitedPrincipal(principal), count });
    },
    addBytes: (principal, count) => {
      if (principal.limits.maxBytesPerDay === undefined || count === 0) return undefined;
      return channel.ask("addBytes", { principal: limitedPrincipal(principal), count });
    },
  };
}

function limitedPrincipal({ kind, name, limits: { maxRequests, maxBytesPerDay } }: Principal): LimitedPrincipal {
  return {
    kind,
    name,
    limits: {
      ...(maxRequests !== undefined && { maxRequests }),
      ...(maxBytesPerDay !== undefined && { maxBytesPerDay }),
    },
  };
}

function openUploadsOf(channel: Channel<PrimaryMethods>): OpenUploadsBound {
  return {
    admit: (id, applicant) => channel.ask("admitUpload", { ...applicant, id: id.hex }),
    note: (id, { expires, owner }, offset) => channel.tell("noteUpload", { id: id.hex, expires, owner, offset }),
    forget: (id) => channel.tell("forgetUpload", id.hex),
  };
}

/** The id that the other side has sent. */
export function idOf(hex: string): UploadId {
  const id = UploadId.fromHex(hex);
  if (id === null) throw new FixityError("internal-error", "A message between processes has no upload id.");
  return id;
}
