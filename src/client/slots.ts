/** Room for so many at a time; others wait, first come, first served. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** A place in the queue that is not taken yet. */
  turn(): Turn {
    return new Turn(this);
  }

  /** Resolves with a slot. */
  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Gives a slot to the next one. */
  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** One upload's slot. */
export class Turn {
  readonly #slots: Slots;
  #taken: Promise<void> | null = null;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** Resolves when it has a slot; asked again, it is the same one. */
  take(): Promise<void> {
    this.#taken ??= this.#slots.take();
    return this.#taken;
  }

  /** Lets others go on, also where the slot is still being waited for. */
  leave(): void {
    void this.#taken?.then(() => this.#slots.give());
    this.#taken = null;
  }
}
