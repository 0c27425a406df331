/**
 * Stops one of several users of a disk store between any two of its file-system calls, within one
 * process. Import it before anything that imports the store, and the store with `await import(…)`.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import * as promises from "node:fs/promises";
import { registerHooks } from "node:module";
import * as calls from "../../src/stores/disk/calls.ts";

const DISK = "/src/stores/disk/";
const GATED = "gated:";

/** A user of the store whose file-system calls are counted, and who is stopped before one of them. */
export class GatedUser {
  /** The calls so far, with the last part of their path. */
  readonly calls: string[] = [];
  readonly #stopAt: number;
  readonly #meanwhile: () => Promise<void>;
  #stop: Promise<void> = Promise.resolve();

  /**
   * @param stopAt the number of the call, from 0 on
   * @param meanwhile what other users do while this one is stopped
   */
  constructor(stopAt: number, meanwhile: () => Promise<void>) {
    this.#stopAt = stopAt;
    this.#meanwhile = meanwhile;
  }

  /** Resolves when the others are done. The work of this user may end earlier: not every call is awaited. */
  get othersDone(): Promise<void> {
    return this.#stop;
  }

  /** Runs work as this user. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return users.run(this, work);
  }

  async enter(name: string, subject: unknown): Promise<void> {
    const number = this.calls.length;
    this.calls.push(`${name} ${String(subject).split("/").at(-1)}`);
    if (number !== this.#stopAt) return;
    this.#stop = users.exit(this.#meanwhile);
    await this.#stop;
  }
}

const users = new AsyncLocalStorage<GatedUser>();

/** Timed looks for release requests are not a step of any user's work. */
function isLook(name: string, subject: unknown): boolean {
  return name === "readdir" && String(subject).endsWith("/wanted");
}

type Call = (...args: unknown[]) => unknown;

function gate(name: string, call: Call): Call {
  return (...args) => {
    const user = users.getStore();
    if (user === undefined || isLook(name, args[0])) return call(...args);
    return user.enter(name, args[0]).then(() => call(...args));
  };
}

function gated(real: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const pairs = Object.entries(real).map(([name, value]) => [
    name,
    typeof value === "function" ? gate(name, value as Call) : value,
  ]);
  return Object.fromEntries(pairs) as Record<string, unknown>;
}

/** What the modules of the disk store receive instead of what they import. */
const replaced: Readonly<Record<string, Record<string, unknown>>> = {
  calls: gated(calls),
  promises: gated(promises),
};
Object.assign(globalThis, { [Symbol.for("fixity.test.gated")]: replaced });

registerHooks({
  resolve(specifier, context, next) {
    const { parentURL = "" } = context;
    const kind = specifier === "node:fs/promises" ? "promises" : specifier.endsWith("/calls.ts") ? "calls" : null;
    if (kind === null || !parentURL.includes(DISK) || parentURL.startsWith(GATED)) return next(specifier, context);
    return { url: `${GATED}${kind}`, format: "module", shortCircuit: true };
  },
  load(url, context, next) {
    if (!url.startsWith(GATED)) return next(url, context);
    const kind = url.slice(GATED.length);
    const names = Object.keys(replaced[kind] ?? {}).filter((name) => /^[a-z]\w*$/i.test(name) && name !== "default");
    const source =
      `const gated = globalThis[Symbol.for("fixity.test.gated")].${kind};\n` +
      names.map((name) => `export const ${name} = gated.${name};`).join("\n");
    return { format: "module", source, shortCircuit: true };
  },
});
