import { join } from "node:path";
import type { Hold } from "../../uploads/hold.ts";
import { close, open, readdir } from "../calls.ts";
import { failedWith } from "../faults.ts";
import type { Layout } from "../layout.ts";
import type { Leftovers } from "../leftovers.ts";
import type { Modes } from "../modes.ts";
import type { Log } from "../options.ts";

/** Milliseconds between looks for requests. */
const LOOK_EVERY = 250;

/**
 * Where processes ask each other to let go of uploads: a folder with an empty file for each request, named after the hold
 * that is asked for. Who holds uploads looks there, at one folder for all of them.
 */
export class WantedBox {
  readonly #path: string;
  readonly #leftovers: Leftovers;
  readonly #modes: Modes;
  readonly #log: Log;
  readonly #holds = new Map<string, Hold>();
  #timer: NodeJS.Timeout | null = null;
  #looking = false;
  #troubled = false;

  constructor({ wanted, modes }: Layout, leftovers: Leftovers, log: Log) {
    this.#path = wanted;
    this.#modes = modes;
    this.#leftovers = leftovers;
    this.#log = log;
  }

  /** From now on looks for requests for a hold of this store. */
  watch(name: string, hold: Hold): void {
    this.#holds.set(name, hold);
    this.#timer ??= setInterval(() => void this.#look(), LOOK_EVERY).unref();
  }

  forget(name: string): void {
    this.#holds.delete(name);
    if (this.#holds.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Asks for a hold of some other store. */
  async post(name: string): Promise<void> {
    const path = join(this.#path, name);
    this.#leftovers.forget(path);
    try {
      await close(await open(path, "w", this.#modes.file));
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await this.#modes.mkdirs(this.#path);
      await close(await open(path, "w", this.#modes.file));
    }
  }

  /** Takes a request away, answered or not. */
  async withdraw(name: string): Promise<void> {
    await this.#leftovers.remove(join(this.#path, name), "a request for an upload");
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const name of await readdir(this.#path)) this.#holds.get(name)?.ask();
      this.#troubled = false;
    } catch (error) {
      // told once, not four times a second
      if (!failedWith(error, "ENOENT") && !this.#troubled) this.#log("requests for uploads could not be read", error);
      this.#troubled = !failedWith(error, "ENOENT");
    } finally {
      this.#looking = false;
    }
  }
}
