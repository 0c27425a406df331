import { formatExactSize } from "../base/format-size.ts";
import { FixityError } from "../core/errors.ts";
import type { Principal } from "./principal.ts";

const HOUR_MS = 3_600_000;
const HOURS_PER_DAY = 24;

/** Principals that are remembered; those without running requests and recent bytes make room. */
const MAX_PRINCIPALS = 10_000;

/**
 * The limits of principals on running requests and on bytes per day. Of several worker processes,
 * the primary keeps them, and the answers of its workers' limits are promises.
 */
export interface PrincipalLimits {
  /**
   * Counts a request as running until the result is disposed of; `null` for a principal without
   * such a limit.
   *
   * @throws FixityError `principal-limit-exceeded`
   */
  enter(principal: Principal): Disposable | null | Promise<Disposable>;
  /**
   * Refuses so many more bytes if they exceed the limit per day.
   *
   * @throws FixityError `principal-limit-exceeded`
   */
  assertBytes(principal: Principal, count: number): void | Promise<void>;
  /**
   * Counts bytes that have arrived.
   *
   * @throws FixityError `principal-limit-exceeded` if they exceed the limit per day; then they do not
   *   count
   */
  addBytes(principal: Principal, count: number): void | Promise<void>;
}

/** What this process knows of one principal. */
interface Usage {
  /** Running requests. */
  running: number;
  /** Bytes uploaded in each of the last 24 hours, by the hour modulo 24. */
  readonly bytes: Float64Array;
  /** The last hour that `bytes` has, in hours since 1970. */
  hour: number;
}

/**
 * The limits of principals in the memory of one process: a restart forgets them, and every instance
 * counts for itself. The day is the last 24 hours, in steps of one hour.
 */
export class PrincipalLimiter implements PrincipalLimits {
  readonly #usages = new Map<string, Usage>();
  readonly #now: () => number;

  /** @param now milliseconds since 1970. @default Date.now */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  enter(principal: Principal): Disposable | null {
    const { maxRequests } = principal.limits;
    if (maxRequests === undefined) return null;
    const usage = this.#usageOf(principal);
    if (usage.running >= maxRequests) {
      throw new FixityError("principal-limit-exceeded", `You already have ${maxRequests} running requests.`, {
        facts: { limit: maxRequests },
        retryAfterSeconds: 1,
      });
    }
    usage.running += 1;
    return { [Symbol.dispose]: () => void (usage.running -= 1) };
  }

  assertBytes(principal: Principal, count: number): void {
    const limit = principal.limits.maxBytesPerDay;
    if (limit === undefined) return;
    const { bytes, hour } = this.#usageOf(principal);
    let used = 0;
    for (const inHour of bytes) used += inHour;
    if (used + count <= limit && used < limit) return;
    throw new FixityError(
      "principal-limit-exceeded",
      `You may upload ${formatExactSize(limit)} within 24 hours, and have uploaded ${formatExactSize(used)}.`,
      { facts: { limit, used }, retryAfterSeconds: this.#secondsUntilRoom(bytes, hour, used + count - limit) },
    );
  }

  addBytes(principal: Principal, count: number): void {
    if (principal.limits.maxBytesPerDay === undefined || count === 0) return;
    this.assertBytes(principal, count);
    const { bytes, hour } = this.#usageOf(principal);
    const index = hour % HOURS_PER_DAY;
    bytes[index] = (bytes[index] ?? 0) + count;
  }

  #usageOf({ kind, name }: Principal): Usage {
    const key = `${kind}:${name}`;
    const hour = Math.floor(this.#now() / HOUR_MS);
    let usage = this.#usages.get(key);
    if (usage === undefined) {
      if (this.#usages.size >= MAX_PRINCIPALS) this.#forgetIdle(hour);
      usage = { running: 0, bytes: new Float64Array(HOURS_PER_DAY), hour };
      this.#usages.set(key, usage);
    }
    advance(usage, hour);
    return usage;
  }

  #forgetIdle(hour: number): void {
    for (const [key, usage] of this.#usages) {
      advance(usage, hour);
      if (usage.running === 0 && usage.bytes.every((inHour) => inHour === 0)) this.#usages.delete(key);
    }
  }

  /** Seconds until the oldest hours that have to be forgotten are a day old. */
  #secondsUntilRoom(bytes: Float64Array, hour: number, excess: number): number {
    let left = excess;
    for (let past = HOURS_PER_DAY - 1; past >= 0; past -= 1) {
      left -= bytes[(hour - past) % HOURS_PER_DAY] ?? 0;
      if (left <= 0) return Math.ceil(((hour - past + HOURS_PER_DAY) * HOUR_MS - this.#now()) / 1000);
    }
    return HOURS_PER_DAY * 3600;
  }
}

/** Clears the hours that have passed since the last use. */
function advance(usage: Usage, hour: number): void {
  const passed = Math.min(hour - usage.hour, HOURS_PER_DAY);
  for (let step = 1; step <= passed; step += 1) usage.bytes[(usage.hour + step) % HOURS_PER_DAY] = 0;
  if (passed > 0) usage.hour = hour;
}
