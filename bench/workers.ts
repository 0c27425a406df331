/** `workers`: what several worker processes cost small uploads, and what they bring. */
import { availableParallelism } from "node:os";
import type { Build } from "./build.ts";
import { reportOwn, type Series } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS } from "./rounds.ts";
import { Served } from "./served.ts";

/** Small uploads in one round of one server. */
const UPLOADS = 6000;

/**
 * Small uploads of each process before the first round. Until then its code is compiled again and again,
 * and an upload takes up to twice the time.
 */
const WARM_UP_UPLOADS = 40_000;

/** Connections of the load, in all. */
const CONNECTIONS = [16, 32, 64, 128];

/**
 * Processor time of all processes of a server per small upload, and uploads per second, of servers
 * with several workers and with one process. The load is not measured.
 *
 * Uploads that arrive together share the cost of a turn of the event loop and of a batch of writes,
 * so the cost depends on the number of connections per process. All loads are measured on the same
 * servers, and no file is removed until the end: file systems are slow for seconds after many are.
 */
export async function workers(build: Build, parent: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const servers: { readonly name: string; readonly server: Served }[] = [];
  for (const count of new Set([2, Math.max(2, availableParallelism()), 1])) {
    const server = stack.use(await Served.start(build, parent, ["--workers", String(count)]));
    await upload(server, { connections: 32 * count, count: WARM_UP_UPLOADS * count });
    servers.push({ name: count === 1 ? "one process" : `${count} workers`, server });
  }
  const loads = CONNECTIONS.map((connections) => ({
    connections,
    cpu: servers.map(({ name }): Series => ({ name, values: [] })),
    rate: servers.map(({ name }): Series => ({ name, values: [] })),
  }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { connections, cpu, rate } of loads) {
      for (const [index, { server }] of servers.entries()) {
        const before = server.processorSeconds;
        rate[index]?.values.push(await upload(server, { connections, count: UPLOADS }));
        cpu[index]?.values.push((1000 * (server.processorSeconds - before)) / UPLOADS);
      }
    }
  }
  for (const { connections, cpu, rate } of loads) {
    reportOwn(`Processor time per durable upload of 4 KiB, ${connections} connections`, "ms", cpu);
    reportOwn(`Durable uploads of 4 KiB, ${connections} connections`, "per second", rate);
  }
}

/** @returns uploads per second */
function upload(server: Served, load: { readonly connections: number; readonly count: number }): Promise<number> {
  return uploadSmall(server.port, "/uploads", { size: 4096, isRaw: true, ...load });
}
