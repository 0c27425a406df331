/**
 * Events: what has happened to blobs, delivered at least once to a webhook or a function of the app.
 *
 *     events.ts       records what happens, before and after the store does it; owns the rest
 *     event.ts        events, and the format of documents with them
 *     outbox.ts       the events of this process, in memory and in documents; outbox-page.ts is one document
 *     deliveries.ts   deliveries, retries and pauses
 *     webhook.ts      the POST of Standard Webhooks
 *     takeovers.ts    finds the events of processes that are gone
 *     dead-events.ts  events that were given up
 *
 * The life of an event:
 *
 *     intent ── commit ── ready ── delivered, removed
 *       │                   └── too old, or too many ──> dead letter
 *       └── the commit failed, or the process died ──> uncertain ── it has happened ──> ready
 *                                                          └── it has not, for 15 minutes ──> dropped
 *
 * The intent is durable before the store is asked to commit or to remove, and `ready` is durable
 * before the request is acknowledged. So whatever a process dies of, an event that a client could
 * know of is in a document. What is not asked of the store (a claim of stored content, damage that
 * was found) is ready at once.
 *
 * In the store: `events/<process>.<n>` is written by that process alone, `events/<process>.alive`
 * shows other machines that it lives, other names are documents that any process may take, and
 * `dead-events/` has the dead letters. A process that takes a document first copies its entries to
 * its own and then removes it, so a crash in between delivers an event twice, with the same id.
 */
import { timeLimit } from "../../base/abort-race.ts";
import type { Owner } from "../../access/principal.ts";
import type { BlobIdentity } from "../blob-stat.ts";
import type { Digest } from "../digest.ts";
import { type EventHandledEvent, eventHandled } from "../diagnostics.ts";
import type { DocumentStore } from "../document-store.ts";
import { FixityError } from "../errors.ts";
import type { Receipt } from "../link.ts";
import type { Committed } from "../staged-blob.ts";
import type { BlobStore } from "../store.ts";
import type { Damage } from "../verification/damage.ts";
import { writeDeadEvents } from "./dead-events.ts";
import { Deliveries } from "./deliveries.ts";
import { digestOfEvent, type Entry, type FixityEvent, newEvent, principalOf, type StoredFacts } from "./event.ts";
import type { ResolvedEventOptions } from "./event-options.ts";
import { Outbox, readEntries } from "./outbox.ts";
import { Takeovers } from "./takeovers.ts";

/** How long a commit that failed, or whose process died, may still take effect in the store. */
const UNCERTAIN_MAX_MS = 15 * 60_000;

/** A process on another machine that was silent for so many of its rounds counts as gone. */
const LEASE_ROUNDS = 3;

/** The time that due deliveries have when the service closes, and that saving the others has. */
const CLOSE_DELIVERIES_MS = 2_000;
const CLOSE_SAVE_MS = 5_000;

/** What events share with their service. */
export interface EventsOptions extends ResolvedEventOptions {
  readonly store: BlobStore;
  /** The URL in front of a link's last segment. */
  readonly linkBase: string;
  readonly log: (message: string, cause?: unknown) => void;
  /** Called for the blob of an upload whose process died after it was stored. */
  readonly onRecovered: (digest: Digest) => Promise<void>;
}

/** An upload as its event states it. */
export interface UploadOfEvent {
  readonly receipt: Omit<Receipt, "existed">;
  readonly owner: Owner;
  /** What identifies the upload, if it may be committed again after a crash. */
  readonly key?: string;
}

/** The events of a service that are not delivered yet. */
export interface PendingEvents {
  /** Their number in this process. */
  readonly backlog: number;
  /** Signs with other secrets from now on. @throws FixityError `invalid-option` */
  replaceSecrets(secrets: readonly string[]): void;
}

/** The events of one service. */
export class Events implements PendingEvents {
  readonly #options: EventsOptions;
  readonly #documents: DocumentStore;
  readonly #outbox: Outbox;
  readonly #deliveries: Deliveries;
  readonly #takeovers: Takeovers;
  /** Intents of which it is not known whether they have happened. */
  readonly #uncertain = new Map<string, Entry>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> = Promise.resolve();
  #closed: Promise<void> | null = null;
  #givingUp: Promise<void> | null = null;
  #couldLook = true;

  /** @throws FixityError `invalid-option` if the store keeps no documents */
  constructor(options: EventsOptions) {
    const { store, deliver, timeoutMs, roundMs, log } = options;
    if (store.documents === undefined) {
      throw new FixityError("invalid-option", `Events need a store that keeps documents, and ${store.kind} does not.`);
    }
    this.#options = options;
    this.#documents = store.documents;
    this.#outbox = new Outbox(store.documents, log);
    const onDelivered = ({ event }: Entry): void => this.#outbox.drop(event.id);
    this.#deliveries = new Deliveries({ deliver, timeoutMs, log, onDelivered });
    this.#takeovers = new Takeovers(store.documents, {
      owner: this.#outbox.owner,
      leaseMs: LEASE_ROUNDS * roundMs,
      take: (name) => this.#take(name),
    });
    // A short command ends before it would do the work of others.
    this.#schedule(Math.min(1_000, roundMs) * (0.5 + Math.random() / 2));
  }

  /** Events of this process that are ready and not delivered yet. */
  get backlog(): number {
    return this.#deliveries.count;
  }

  /** Signs with other secrets from now on. @throws FixityError `invalid-option` */
  replaceSecrets(secrets: readonly string[]): void {
    this.#options.replaceSecrets?.(secrets);
  }

  /**
   * Commits an upload between its intent and its event.
   *
   * @throws FixityError what `commit` throws, or a `store-…` code if the event could not be recorded
   */
  async storing<Result extends Committed>(upload: UploadOfEvent, commit: () => Promise<Result>): Promise<Result> {
    const facts = storedFacts(upload, null);
    const intent = newEvent({ type: "blob.stored", data: facts }, upload.key);
    return await this.#around(intent, commit, ({ existed }) => ({ ...facts, existed }));
  }

  /** Records that stored content was claimed. @throws FixityError a `store-…` code */
  async claimed(upload: UploadOfEvent): Promise<void> {
    await this.#ready(newEvent({ type: "blob.stored", data: storedFacts(upload, true) }, upload.key));
  }

  /** Removes a blob between its intent and its event. @throws as {@link storing} */
  async removing(digest: Digest, remove: () => Promise<boolean>): Promise<boolean> {
    const stat = await this.#options.store.stat(digest);
    if (stat === null) return false;
    const data = { ...this.#facts(digest), size: stat.size };
    const intent = newEvent({ type: "blob.removed", data });
    return await this.#around(intent, remove, (isRemoved) => (isRemoved ? data : null));
  }

  /** Records that a blob was found damaged. Never throws: the blob is damaged all the same. */
  async damaged(digest: Digest, { size, found, identity }: Damage): Promise<void> {
    const data = { ...this.#facts(digest), size, found: found?.toString() ?? null };
    await this.#tryReady(newEvent({ type: "blob.damaged", data }, copyOf(digest, identity)));
  }

  /** Records that a damaged copy was replaced by the right bytes. Never throws. */
  async repaired(digest: Digest, { identity }: Damage): Promise<void> {
    const data = this.#facts(digest);
    await this.#tryReady(newEvent({ type: "blob.repaired", data }, copyOf(digest, identity)));
  }

  /**
   * Delivers what is due for a short while, and leaves the rest to other processes. Never throws. To
   * be called when nothing records events any more.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await timeLimit(this.#round, CLOSE_SAVE_MS);
    await this.#deliveries.close(CLOSE_DELIVERIES_MS);
    try {
      const released = await timeLimit(
        this.#outbox.release().then(() => true),
        CLOSE_SAVE_MS,
      );
      if (released !== true) this.#options.log("the store does not answer: other processes deliver the events later");
    } catch (error) {
      this.#options.log("the events could not be released: other processes deliver them later", error);
    }
  }

  /**
   * @param dataOf the facts of the event; `null` if nothing has happened
   */
  async #around<Result>(
    intent: FixityEvent,
    work: () => Promise<Result>,
    dataOf: (result: Result) => FixityEvent["data"] | null,
  ): Promise<Result> {
    const { id } = intent;
    // The commit before this one has succeeded, and its event was not delivered yet.
    if (this.#deliveries.has(id)) return await work();
    this.#uncertain.delete(id);
    const entry: Entry = { state: "intent", since: Date.now(), event: intent };
    try {
      await this.#outbox.record([entry]);
    } catch (error) {
      this.#outbox.drop(id);
      throw error;
    }
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      // A store that fails may have done it, and may still do it.
      const isRefusal = error instanceof FixityError && !error.code.startsWith("store-");
      if (isRefusal) this.#outbox.drop(id);
      else this.#uncertain.set(id, entry);
      throw error;
    }
    const data = dataOf(result);
    if (data === null) this.#outbox.drop(id);
    else await this.#ready({ ...intent, data } as FixityEvent);
    return result;
  }

  /** Records an event that has happened, and delivers it. */
  async #ready(event: FixityEvent): Promise<void> {
    const entry: Entry = { state: "ready", since: Date.now(), event };
    try {
      await this.#outbox.record([entry]);
    } finally {
      this.#deliver(entry);
    }
  }

  async #tryReady(event: FixityEvent): Promise<void> {
    try {
      await this.#ready(event);
    } catch (error) {
      this.#options.log(`the event ${event.type} of ${event.data.digest} is lost if this process ends now`, error);
    }
  }

  #deliver(entry: Entry): void {
    this.#deliveries.add(entry);
    if (this.backlog > this.#options.maxBacklog) void this.#giveUp();
  }

  #schedule(ms: number): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#look().finally(() => this.#schedule(this.#options.roundMs * (0.75 + Math.random() / 2)));
    }, ms).unref();
  }

  /** One round: what must be done from time to time. Never throws. */
  async #look(): Promise<void> {
    try {
      await this.#outbox.showLife();
      await this.#takeovers.run(this.#closing.signal);
      await this.#settle();
      this.#couldLook = true;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      if (this.#couldLook) this.#options.log("the events of other processes cannot be looked for", error);
      this.#couldLook = false;
    }
    await this.#giveUp();
  }

  /** Takes the entries of a document of another process, and removes it. @returns how many */
  async #take(name: string): Promise<number> {
    const found = await readEntries(this.#documents, name);
    if (found === null) return 0;
    const entries = found.entries.filter(({ event }) => !this.#outbox.has(event.id));
    let isTaken = false;
    try {
      await this.#outbox.record(entries);
      isTaken = await this.#documents.remove(name, found.tag);
    } finally {
      // Another process was faster, or its owner lives.
      if (!isTaken) for (const { event } of entries) this.#outbox.drop(event.id);
    }
    if (!isTaken) return 0;
    for (const entry of entries) {
      if (entry.state === "ready") this.#deliver(entry);
      else this.#uncertain.set(entry.event.id, entry);
    }
    return found.entries.length;
  }

  /** Finds out which uncertain intents have happened. */
  async #settle(): Promise<void> {
    for (const [id, entry] of this.#uncertain) {
      const hasHappened = await this.#hasHappened(entry.event);
      if (this.#uncertain.get(id) !== entry) continue;
      const isOver = Date.now() - entry.since > UNCERTAIN_MAX_MS;
      if (hasHappened || isOver) this.#uncertain.delete(id);
      if (hasHappened) await this.#ready(entry.event);
      else if (isOver) this.#outbox.drop(id);
    }
  }

  async #hasHappened(event: FixityEvent): Promise<boolean> {
    const digest = digestOfEvent(event);
    if (digest === null) return false;
    const { signal } = this.#closing;
    if (event.type === "blob.removed") return (await this.#options.store.stat(digest, signal)) === null;
    if ((await this.#options.store.confirm(digest, signal)) === null) return false;
    await this.#options.onRecovered(digest);
    return true;
  }

  /** Makes dead letters of what is too old, and of the oldest events if there are too many. */
  #giveUp(): Promise<void> {
    this.#givingUp ??= this.#giveUpNow().finally(() => {
      this.#givingUp = null;
    });
    return this.#givingUp;
  }

  async #giveUpNow(): Promise<void> {
    const { maxBacklog, maxAgeMs, log } = this.#options;
    const oldest = Date.now() - maxAgeMs;
    const isFailing = this.#deliveries.isFailing;
    const dead = [
      ...this.#deliveries.take(Infinity, ({ since }, attempts) => since < oldest && (isFailing || attempts > 0)),
      ...this.#deliveries.take(Math.max(0, this.backlog - maxBacklog), () => true),
    ];
    if (dead.length === 0) return;
    try {
      await writeDeadEvents(this.#documents, dead);
    } catch (error) {
      log("events could not be saved as dead letters, and stay where they are", error);
      return this.#deliveries.putBack(dead);
    }
    for (const { event } of dead) {
      this.#outbox.drop(event.id);
      publishDead(event);
    }
    log(`${dead.length} events were given up, and are dead letters now, in the documents dead-events/`);
  }

  #facts(digest: Digest): { readonly digest: string; readonly url: string } {
    return { digest: digest.toString(), url: this.#options.linkBase + digest.hex };
  }
}

function storedFacts({ receipt, owner }: UploadOfEvent, existed: boolean | null): StoredFacts {
  const { digest, url, size, type, name } = receipt;
  return { digest: digest.toString(), url, size, type, name, existed, principal: principalOf(owner) };
}

/** The key of what happens to one copy of a blob, which several instances may find. */
function copyOf(digest: Digest, identity: BlobIdentity | null): string | undefined {
  return identity === null ? undefined : `${digest.hex} ${identity}`;
}

function publishDead({ type }: FixityEvent): void {
  const event: EventHandledEvent = { outcome: "dead", type, attempts: 0, durationMs: 0 };
  if (eventHandled.isObserved) eventHandled.publish(event);
}
