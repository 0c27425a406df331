import { readdirSync, readFileSync } from "node:fs";

/** Milliseconds between two looks. */
const TICK = 100;

/** Watches the memory that the browsers of this process have of their own, all their processes together. Linux only. */
export class BrowserMemory implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #peak = 0;

  constructor() {
    this.#timer = setInterval(() => {
      this.#peak = Math.max(this.#peak, memoryBelow(process.pid));
    }, TICK);
  }

  /** Bytes, since the beginning of the watch. */
  get peak(): number {
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Bytes of all browser processes that this one has started, or that those have. */
function memoryBelow(root: number): number {
  const children = Map.groupBy(browserProcesses(), ({ parent }) => parent);
  const memoryOf = (pid: number): number =>
    (children.get(pid) ?? []).reduce((sum, child) => sum + child.memory + memoryOf(child.pid), 0);
  return memoryOf(root);
}

function browserProcesses(): { readonly pid: number; readonly parent: number; readonly memory: number }[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const status = read(`/proc/${name}/status`);
    if (!/^Name:\s+chrom/.test(status)) return [];
    const number = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
    return [{ pid: Number(name), parent: number("PPid"), memory: number("RssAnon") * 1024 }];
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
}
