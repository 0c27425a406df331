/** The fraction of the total above which shares apply. */
const SHARING_THRESHOLD = 3 / 4;
/** One user's share, as a fraction of the total. */
const SHARE_FRACTION = 1 / 20;
/** The smallest share, unless the total is smaller than twice as much. */
const SHARE_MIN_COUNT = 16;

/**
 * Shares a limited number of something among users, so that one of them cannot take it all. While
 * less than three quarters are in use, a user may have any number. Above that, a user that has its
 * share (a twentieth of the total or 16, whichever is larger, but at most half) gets no more. Several
 * processes can share one total: each adds what the others report ({@link addElsewhere}).
 */
export class FairShare {
  readonly total: number;
  /** The most that one user may have once shares apply. */
  readonly share: number;
  readonly #counts = new Map<string, number>();
  readonly #onChange: (user: string | null, change: 1 | -1) => void;
  #used = 0;

  /** @param onChange called after each `add` and `remove` */
  constructor(total: number, onChange: (user: string | null, change: 1 | -1) => void = () => {}) {
    this.total = total;
    this.#onChange = onChange;
    this.share = Math.min(Math.ceil(total / 2), Math.max(SHARE_MIN_COUNT, Math.floor(total * SHARE_FRACTION)));
  }

  get used(): number {
    return this.#used;
  }

  /** Whether shares apply and this user has used up its own. `null` is a user without a limit. */
  isExceededBy(user: string | null): boolean {
    if (user === null || this.#used < this.total * SHARING_THRESHOLD) return false;
    return (this.#counts.get(user) ?? 0) >= this.share;
  }

  add(user: string | null): void {
    this.addElsewhere(user, 1);
    this.#onChange(user, 1);
  }

  /** Undoes one `add` of this user. */
  remove(user: string | null): void {
    this.addElsewhere(user, -1);
    this.#onChange(user, -1);
  }

  /** Counts uses of this user in another process; a negative number if they have ended. */
  addElsewhere(user: string | null, change: number): void {
    this.#used += change;
    if (user === null) return;
    const count = (this.#counts.get(user) ?? 0) + change;
    if (count === 0) this.#counts.delete(user);
    else this.#counts.set(user, count);
  }
}
