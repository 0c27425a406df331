import { abortRace } from "../../base/abort-race.ts";
import { retryDelay } from "../../base/retry-delay.ts";
import { eventHandled } from "../diagnostics.ts";
import { asFixityError } from "../errors.ts";
import type { Entry, FixityEvent } from "./event.ts";

/**
 * Hands one event to its receiver. A rejected promise is a failed delivery, which is repeated later;
 * `retryAfterSeconds` of a `FixityError` delays it.
 */
export type DeliverEvent = (event: FixityEvent, signal: AbortSignal) => Promise<void> | void;

/** Deliveries at the same time, as long as they succeed. */
const CONCURRENCY = 8;

/** The pause of all deliveries after failures in a row. */
const PAUSE = { firstMs: 1_000, maxMs: 5 * 60_000 };

/** The delay of an event that was refused, while others are delivered. */
const REDELIVERY = { firstMs: 1_000, maxMs: 60 * 60_000 };

/** Failures in a row that are the receiver's, and not those of some events. */
const OUTAGE_FAILURES = 3;

/** The longest pause that a receiver can ask for. */
const ASKED_PAUSE_MAX_MS = 60 * 60_000;

/** Options of {@link Deliveries}. */
export interface DeliveriesOptions {
  readonly deliver: DeliverEvent;
  /** Milliseconds that one delivery may take. */
  readonly timeoutMs: number;
  readonly log: (message: string, cause?: unknown) => void;
  /** Called for each event that the receiver has accepted. */
  readonly onDelivered: (entry: Entry) => void;
}

/** An entry that waits for its delivery. */
interface Waiting {
  readonly entry: Entry;
  attempts: number;
  /** `performance.now()`. */
  dueAt: number;
}

/**
 * Delivers the events of one process, in the order in which they became ready, several at a time.
 *
 * A failure delays the event with exponential backoff, and pauses all deliveries, so that a receiver
 * that is down gets one request after each pause and not one for every event. After a pause the
 * next event is tried, so an event that is refused again and again does not hold up the others.
 */
export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Set<string>();
  readonly #stop = new AbortController();
  #failuresInRow = 0;
  #pausedUntil = 0;
  #timer: NodeJS.Timeout | null = null;
  #onProgress: (() => void) | null = null;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
  }

  /** Events that wait or are being delivered. */
  get count(): number {
    return this.#waiting.size;
  }

  /** Whether the last delivery has failed. */
  get isFailing(): boolean {
    return this.#failuresInRow > 0;
  }

  /** Whether an event waits or is being delivered. */
  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Adds a ready entry. */
  add(entry: Entry): void {
    if (this.#stop.signal.aborted || this.#waiting.has(entry.event.id)) return;
    this.#waiting.set(entry.event.id, { entry, attempts: 0, dueAt: 0 });
    this.#pump();
  }

  /**
   * Takes out up to `count` entries, the oldest ones first.
   *
   * @param isWanted those to take
   */
  take(count: number, isWanted: (entry: Entry, attempts: number) => boolean): readonly Entry[] {
    const taken: Entry[] = [];
    for (const [id, { entry, attempts }] of this.#waiting) {
      if (taken.length === count) break;
      if (!this.#running.has(id) && isWanted(entry, attempts)) taken.push(entry);
    }
    for (const { event } of taken) this.#waiting.delete(event.id);
    return taken;
  }

  /** Puts back what was taken out. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of entries) this.#waiting.set(entry.event.id, { entry, attempts: 1, dueAt: 0 });
    this.#pump();
  }

  /**
   * Ends all deliveries: those that are due may be made within `timeoutMs`, unless they fail; then
   * the running ones are aborted.
   */
  async close(timeoutMs: number): Promise<void> {
    const end = Promise.withResolvers<void>();
    const timer = setTimeout(end.resolve, timeoutMs);
    this.#onProgress = () => {
      const isUseful = this.#waiting.size > 0 && (this.#running.size > 0 || !this.isFailing);
      if (!isUseful) end.resolve();
    };
    this.#onProgress();
    await end.promise;
    clearTimeout(timer);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stop.abort();
  }

  #pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const now = performance.now();
    if (this.#stop.signal.aborted) return;
    if (now < this.#pausedUntil) return this.#wakeAt(this.#pausedUntil);
    // While deliveries fail, one at a time finds out whether the receiver is back.
    const concurrency = this.isFailing ? 1 : CONCURRENCY;
    let nextAt = Infinity;
    for (const [id, waiting] of this.#waiting) {
      if (this.#running.size >= concurrency) return;
      if (this.#running.has(id)) continue;
      if (waiting.dueAt <= now) void this.#deliver(waiting);
      else nextAt = Math.min(nextAt, waiting.dueAt);
    }
    if (nextAt < Infinity) this.#wakeAt(nextAt);
  }

  #wakeAt(time: number): void {
    this.#timer = setTimeout(() => this.#pump(), Math.max(1, time - performance.now())).unref();
  }

  async #deliver(waiting: Waiting): Promise<void> {
    const { entry } = waiting;
    const { id, type } = entry.event;
    const startedAt = performance.now();
    this.#running.add(id);
    waiting.attempts += 1;
    const { attempts } = waiting;
    try {
      const { deliver, timeoutMs } = this.#options;
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)]);
      await abortRace(
        Promise.try(() => deliver(entry.event, signal)),
        signal,
      );
      this.#waiting.delete(id);
      this.#succeed();
      this.#options.onDelivered(entry);
      publish("delivered");
    } catch (error) {
      this.#fail(waiting, error);
      publish("failed");
    } finally {
      this.#running.delete(id);
      this.#pump();
      this.#onProgress?.();
    }

    function publish(outcome: "delivered" | "failed"): void {
      if (!eventHandled.isObserved) return;
      eventHandled.publish({ outcome, type, attempts, durationMs: performance.now() - startedAt });
    }
  }

  #succeed(): void {
    if (this.isFailing) this.#options.log("events are delivered again");
    // The receiver was down: nothing is known against the events that have failed meanwhile.
    if (this.#failuresInRow >= OUTAGE_FAILURES) for (const waiting of this.#waiting.values()) waiting.dueAt = 0;
    this.#failuresInRow = 0;
    this.#pausedUntil = 0;
  }

  #fail(waiting: Waiting, error: unknown): void {
    if (this.#stop.signal.aborted) return;
    if (!this.isFailing) this.#options.log("an event could not be delivered, and is tried again", error);
    this.#failuresInRow += 1;
    const now = performance.now();
    const askedMs = Math.min((asFixityError(error).retryAfterSeconds ?? 0) * 1000, ASKED_PAUSE_MAX_MS);
    this.#pausedUntil = now + Math.max(retryDelay(this.#failuresInRow, PAUSE), askedMs);
    waiting.dueAt = now + retryDelay(waiting.attempts, REDELIVERY);
    // Behind all others.
    this.#waiting.delete(waiting.entry.event.id);
    this.#waiting.set(waiting.entry.event.id, waiting);
  }
}
