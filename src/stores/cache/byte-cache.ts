import { detachedString } from "../../base/detached-string.ts";
import { RecentDigests } from "./recent-digests.ts";

/** The part of the budget in which new entries wait for another use. */
const PROBATION_SHARE = 0.1;

/**
 * Entries that must have been added since the last use before another one counts: a client that
 * asks for a file several times in a row (`HEAD`, then `GET`, then a range) uses it once. In a small
 * cache it is a 64th of the entries.
 */
const USE_DISTANCE_MAX = 64;

/** More uses than this are not counted: an entry that is no longer used goes after as many rounds. */
const MAX_USES = 3;

/** The budget divided by this is the number of evicted digests that are remembered. */
const BYTES_PER_EVICTED_DIGEST = 4096;

interface Entry<Value> {
  readonly key: string;
  readonly value: Value;
  readonly cost: number;
  uses: number;
  /** How many entries had been added at the last use that counted. */
  usedAt: number;
  queue: Queue<Value>;
  older: Entry<Value> | null;
  newer: Entry<Value> | null;
}

/** A queue of entries, as a linked list. */
interface Queue<Value> {
  oldest: Entry<Value> | null;
  newest: Entry<Value> | null;
  cost: number;
}

/**
 * A map of digests within a budget of bytes, which evicts by S3-FIFO (Yang et al., "FIFO queues are
 * all you need for cache eviction", SOSP 2023):
 *
 * - A new entry is on probation, in a tenth of the budget. If it is used again before it reaches
 *   the end of that queue, it moves on to the main queue. Otherwise it is evicted, and its digest
 *   is remembered for a while.
 * - A new entry whose digest is remembered goes to the main queue directly.
 * - An entry that reaches the end of the main queue goes round again if it was used meanwhile.
 *
 * A scan of any number of files therefore passes through the tenth and evicts nothing from the
 * rest, even if it reads each file several times in a row: such uses count as one, which is an
 * addition to the algorithm. docs/decisions/0014 compares it with others.
 */
export class ByteCache<Value> {
  readonly #budget: number;
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #probation: Queue<Value> = { oldest: null, newest: null, cost: 0 };
  readonly #main: Queue<Value> = { oldest: null, newest: null, cost: 0 };
  readonly #evicted: RecentDigests;
  /** Entries added so far. */
  #added = 0;

  /** @param budget in the unit of the costs: bytes */
  constructor(budget: number) {
    this.#budget = budget;
    this.#evicted = new RecentDigests(budget / BYTES_PER_EVICTED_DIGEST);
  }

  /** The costs of all entries together; never more than the budget. */
  get cost(): number {
    return this.#probation.cost + this.#main.cost;
  }

  /** The number of entries. */
  get count(): number {
    return this.#entries.size;
  }

  /** The value of a digest. Counts as a use, unless the last one was a moment ago. */
  get(hex: string): Value | undefined {
    const entry = this.#entries.get(hex);
    if (entry === undefined) return undefined;
    if (this.#added - entry.usedAt >= Math.min(USE_DISTANCE_MAX, this.#entries.size >> 6)) {
      entry.usedAt = this.#added;
      if (entry.uses < MAX_USES) entry.uses += 1;
    }
    return entry.value;
  }

  /**
   * Adds or replaces a value, and evicts others to make room. A value that costs more than the
   * whole budget is not added.
   */
  set(hex: string, value: Value, cost: number): void {
    this.delete(hex);
    if (cost > this.#budget) return;
    while (this.cost + cost > this.#budget) this.#evictOrMove();
    const queue = this.#evicted.has(hex) ? this.#main : this.#probation;
    this.#evicted.delete(hex);
    const key = detachedString(hex);
    this.#added += 1;
    const entry: Entry<Value> = { key, value, cost, uses: 0, usedAt: this.#added, queue, older: null, newer: null };
    this.#entries.set(key, entry);
    append(queue, entry);
  }

  /** @param value if given, the entry is removed only if it has this value */
  delete(hex: string, value?: Value): void {
    const entry = this.#entries.get(hex);
    if (entry === undefined || (value !== undefined && entry.value !== value)) return;
    this.#entries.delete(hex);
    unlink(entry);
  }

  clear(): void {
    for (const hex of this.#entries.keys()) this.delete(hex);
  }

  /** One step towards more room. Every entry is moved a bounded number of times before it goes. */
  #evictOrMove(): void {
    const isProbationFull = this.#probation.cost > this.#budget * PROBATION_SHARE;
    const entry = isProbationFull ? this.#probation.oldest : (this.#main.oldest ?? this.#probation.oldest);
    if (entry === null) return;
    if (entry.queue === this.#probation) {
      if (entry.uses > 0) return this.#moveToMain(entry, 0);
      this.#evicted.add(entry.key);
    } else if (entry.uses > 0) {
      return this.#moveToMain(entry, entry.uses - 1);
    }
    this.delete(entry.key);
  }

  #moveToMain(entry: Entry<Value>, uses: number): void {
    unlink(entry);
    entry.uses = uses;
    entry.queue = this.#main;
    append(this.#main, entry);
  }
}

function append<Value>(queue: Queue<Value>, entry: Entry<Value>): void {
  entry.older = queue.newest;
  if (queue.newest === null) queue.oldest = entry;
  else queue.newest.newer = entry;
  queue.newest = entry;
  queue.cost += entry.cost;
}

function unlink<Value>(entry: Entry<Value>): void {
  const { queue, older, newer } = entry;
  if (older === null) queue.oldest = newer;
  else older.newer = newer;
  if (newer === null) queue.newest = older;
  else newer.older = older;
  entry.older = null;
  entry.newer = null;
  queue.cost -= entry.cost;
}
