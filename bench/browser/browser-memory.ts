import { readdirSync, readFileSync } from "node:fs";

/** Milliseconds between two samples. */
const SAMPLE_INTERVAL_MS = 100;

/**
 * Samples the private memory of all processes of the browsers that this process started. Linux
 * only.
 */
export class BrowserMemory implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #peak = 0;

  constructor() {
    this.#timer = setInterval(() => {
      this.#peak = Math.max(this.#peak, memoryBelow(process.pid));
    }, SAMPLE_INTERVAL_MS);
  }

  /** Peak in bytes since the start. */
  get peak(): number {
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Bytes of all browser processes below `root` in the process tree. */
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
    return ""; // The process has ended.
  }
}
