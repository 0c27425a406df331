import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BareResult } from "./bare-loop.ts";
import type { SmallLoad } from "./load.ts";

/** Folders of contenders that have ended. */
const folders = new Set<string>();

/**
 * Removes what ended contenders have left; when a case is over, not between two that are compared: some file systems are
 * slow to make files for a while after many were removed (ext4 does not use an inode again at once).
 */
export async function removeFolders(): Promise<void> {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
  folders.clear();
}

/** Threads for file work, as `fixity serve` sets them; for every contender. */
const ENVIRONMENT = { ...process.env, UV_THREADPOOL_SIZE: "8", NODE_ENV: "production" };

/** Makes small files durable without any HTTP, in a process like the contenders'. Files per second. */
export async function runBareLoop(parent: string, load: SmallLoad): Promise<number> {
  const child = fork(new URL("bare-loop.ts", import.meta.url), [parent, JSON.stringify(load)], { env: ENVIRONMENT });
  const [{ rate, root }] = (await once(child, "message")) as [BareResult];
  folders.add(root);
  child.kill();
  return rate;
}

/** A server under measurement, in a process and with a folder of its own. */
export class Contender implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** Where it keeps its files. */
  readonly root: string;
  readonly #child: ChildProcess;

  private constructor(name: string, root: string, started: { readonly port: number; readonly child: ChildProcess }) {
    this.name = name;
    this.root = root;
    this.port = started.port;
    this.#child = started.child;
  }

  /** Starts `bench/servers/<script>.ts` over a new folder in `parent`. */
  static async start(name: string, parent: string, [script = "", ...args]: readonly string[]): Promise<Contender> {
    const root = await mkdtemp(join(parent, "fixity-bench-"));
    const child = fork(new URL(`servers/${script}.ts`, import.meta.url), [root, ...args], {
      env: ENVIRONMENT,
      // as `fixity serve` is started; the peers as their users start them
      execArgv: script === "fixity" ? ["--max-semi-space-size=4", "--no-incremental-marking"] : [],
    });
    const [message] = (await once(child, "message")) as [{ port: number }];
    return new Contender(name, root, { port: message.port, child });
  }

  /** Peak resident memory so far, in bytes. */
  async peakMemory(): Promise<number> {
    this.#child.send("memory");
    const [message] = (await once(this.#child, "message")) as [{ maxRss: number }];
    return message.maxRss;
  }

  /** Removes the files that it has stored, so that gigabytes do not pile up. */
  async clear(): Promise<void> {
    for (const name of await readdir(this.root)) await rm(join(this.root, name), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
    folders.add(this.root);
  }
}
