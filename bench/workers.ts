import { availableParallelism } from "node:os";
import type { Build } from "./build.ts";
import { reportOwn, type Series } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS } from "./rounds.ts";
import { Served } from "./served.ts";

/** Small uploads in one round of one server. */
const UPLOADS = 6000;

/** A server, and the load that it gets. */
interface Case {
  readonly workers: number;
  readonly connections: number;
}

/**
 * Processor time of all processes of a server per small upload, and uploads per second, of servers
 * with one process and with several.
 *
 * Uploads that arrive together share the cost of a turn of the event loop and of a batch of writes,
 * so the cost depends on the number of connections per process. Therefore several workers are
 * measured with as many connections per process as one process has, and with as many in all.
 */
export async function workers(build: Build, parent: string): Promise<void> {
  const most = Math.max(2, availableParallelism());
  const counts = Array.from(new Set([2, most]));
  await compare(build, parent, [
    ...counts.map((workers) => ({ workers, connections: 16 * workers })),
    { workers: 1, connections: 16 },
  ]);
  await compare(build, parent, [
    ...counts.map((workers) => ({ workers, connections: 32 })),
    { workers: 1, connections: 32 },
  ]);
}

async function compare(build: Build, parent: string, cases: readonly Case[]): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const servers: Served[] = [];
  for (const { workers } of cases) {
    servers.push(stack.use(await Served.start(build, parent, ["--workers", String(workers)])));
  }
  const cpu = cases.map((one): Series => ({ name: nameOf(one), values: [] }));
  const rate = cases.map((one): Series => ({ name: nameOf(one), values: [] }));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [index, server] of servers.entries()) {
      const before = server.processorSeconds;
      const load = { size: 4096, connections: cases[index]?.connections ?? 1, count: UPLOADS, isRaw: true };
      const perSecond = await uploadSmall(server.port, "/uploads", load);
      const used = server.processorSeconds - before;
      if (round === 0) continue;
      cpu[index]?.values.push((1000 * used) / UPLOADS);
      rate[index]?.values.push(perSecond);
    }
  }
  reportOwn("Processor time per upload of 4 KiB", "ms", cpu);
  reportOwn("Uploads of 4 KiB", "per second", rate);
}

function nameOf({ workers, connections }: Case): string {
  return `${workers === 1 ? "one process" : `${workers} workers`}, ${connections} connections`;
}
