import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

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
      env: { ...process.env, UV_THREADPOOL_SIZE: "8", NODE_ENV: "production" },
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
    await rm(this.root, { recursive: true, force: true });
  }
}
