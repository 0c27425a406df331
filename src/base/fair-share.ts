/** From which part of the total on the shares of single users count. */
const NEARLY_USED = 3 / 4;
/** The share of one user, of the total and at least. */
const SHARE = 1 / 20;
const MIN_SHARE = 16;

/**
 * Counts who uses how much of something of which there is a total, so that one user cannot take all of it. As long as
 * there is plenty, everyone can have as much as they want. When three quarters are in use, a user that has a twentieth of
 * the total, or 16 where that is more, gets no more. (Of a small total, a share is at most half.)
 */
export class FairShare {
  readonly total: number;
  /** What one user can have when little is left. */
  readonly share: number;
  readonly #counts = new Map<string, number>();
  #used = 0;

  constructor(total: number) {
    this.total = total;
    this.share = Math.min(Math.ceil(total / 2), Math.max(MIN_SHARE, Math.floor(total * SHARE)));
  }

  get used(): number {
    return this.#used;
  }

  /** Little is left, and this user has its share of it. `null` is a user without a limit of its own. */
  isExceededBy(user: string | null): boolean {
    if (user === null || this.#used < this.total * NEARLY_USED) return false;
    return (this.#counts.get(user) ?? 0) >= this.share;
  }

  add(user: string | null): void {
    this.#used += 1;
    if (user !== null) this.#counts.set(user, (this.#counts.get(user) ?? 0) + 1);
  }

  /** Undoes one `add` of this user. */
  remove(user: string | null): void {
    this.#used -= 1;
    if (user === null) return;
    const count = (this.#counts.get(user) ?? 1) - 1;
    if (count === 0) this.#counts.delete(user);
    else this.#counts.set(user, count);
  }
}
