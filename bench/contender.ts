import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BareResult } from "./bare-loop.ts";
import type { Build } from "./build.ts";
import type { SmallLoad } from "./load.ts";
import { undoneIfStopped } from "./stopping.ts";
import type { Usage } from "./servers/serve.ts";

/** Folders of contenders that have ended. */
const folders = new Set<string>();

/**
 * Removes what ended contenders left behind. Called after a case, not between two contenders that
 * are compared: some file systems create files slowly for a while after many were removed (ext4
 * does not reuse an inode at once).
 */
export async function removeFolders(): Promise<void> {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
  folders.clear();
}

/**
 * The environment of every contender, with as many threads for file work as `fixity serve` sets.
 */
const ENVIRONMENT = { ...process.env, UV_THREADPOOL_SIZE: "8", NODE_ENV: "production" };

/** Node's flags for the `fixity` command; the peers are started as their users start them. */
export const OWN_FLAGS: readonly string[] = ["--max-semi-space-size=4", "--no-incremental-marking"];

/**
 * Makes small files durable without HTTP, in a process like the contenders'. Returns files per
 * second.
 */
export async function runBareLoop(parent: string, load: SmallLoad): Promise<number> {
  const child = fork(new URL("bare-loop.ts", import.meta.url), [parent, JSON.stringify(load)], { env: ENVIRONMENT });
  const [{ rate, root }] = (await once(child, "message")) as [BareResult];
  folders.add(root);
  child.kill();
  return rate;
}

/** How a contender is started. */
export interface Start {
  readonly name: string;
  /** Its script, `bench/servers/<script>.ts`. */
  readonly script: string;
  /** Given to the script after the folder. */
  readonly args?: readonly string[];
  /** The folder of an earlier contender. @default a new folder */
  readonly root?: string;
}

/** The build and the place for contenders. */
export interface Place {
  readonly build: Build;
  /** Where the folders of contenders are created. */
  readonly parent: string;
}

/** What the process of a contender reports once it listens. */
interface Started {
  readonly port: number;
  readonly isProgram?: boolean;
}

/** A server under measurement, in a process and with a folder of its own. */
export class Contender implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** The folder with its files. */
  readonly root: string;
  readonly #child: ChildProcess;
  readonly #isStopped: () => void;
  /** Whether the server is a program that the process starts, and ends when it is disconnected. */
  readonly #isProgram: boolean;

  private constructor(name: string, root: string, child: ChildProcess, { port, isProgram = false }: Started) {
    this.name = name;
    this.root = root;
    this.port = port;
    this.#child = child;
    this.#isProgram = isProgram;
    this.#isStopped = undoneIfStopped(async () => {
      await this[Symbol.asyncDispose]();
      await removeFolders();
    });
  }

  /** Starts a server over its folder, which is also its folder for temporary files. */
  static async start({ build, parent }: Place, { name, script, args = [], root: left }: Start): Promise<Contender> {
    const root = left ?? (await mkdtemp(join(parent, "fixity-bench-")));
    const child = fork(build.server(script), [root, ...args], {
      env: { ...ENVIRONMENT, TMPDIR: root },
      execArgv: script.startsWith("fixity") ? [...OWN_FLAGS] : [],
    });
    const failed = once(child, "exit").then(() => Promise.reject(new Error(`${name} did not start`)));
    failed.catch(() => null);
    const [started] = (await Promise.race([once(child, "message"), failed])) as [Started];
    return new Contender(name, root, child, started);
  }

  /** The resources that its process has used so far. */
  async usage(): Promise<Usage> {
    this.#child.send("usage");
    const [usage] = (await once(this.#child, "message")) as [Usage];
    return usage;
  }

  /** Seconds of CPU that its process spends on `work`, which another process does. */
  async cpuDuring(work: () => Promise<unknown>): Promise<number> {
    const before = await this.usage();
    await work();
    const after = await this.usage();
    return after.cpu - before.cpu;
  }

  /** Removes the files that it has stored, so that they do not fill the disk. */
  async clear(): Promise<void> {
    for (const name of await readdir(this.root)) await rm(join(this.root, name), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      if (this.#isProgram) this.#child.disconnect();
      else this.#child.kill("SIGKILL");
      await once(this.#child, "exit");
    }
    folders.add(this.root);
  }
}
