/** Worker processes of a server, and connections to a certain one of them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess, type ServerProcessOptions } from "../helpers/server-process.ts";
import { settled } from "../helpers/settled.ts";
import { begin, finalAnswer } from "../resumable/client.ts";

/** Starts a server with three workers. Resolves when all of them listen. */
export function startWorkers({ env = {}, ...options }: ServerProcessOptions): Promise<ServerProcess> {
  return ServerProcess.start({ ...options, env: { UPLOAD_WORKERS: "3", ...env } });
}

/** The process ids of the workers that run, by number. A worker that is replaced may still run. */
export function workersOf({ pid }: ServerProcess): Map<number, number> {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  const numbered = children.flatMap((child): (readonly [number, number])[] => {
    const number = /FIXITY_WORKER=(\d+)/.exec(readable(`/proc/${child}/environ`))?.[1];
    return number === undefined ? [] : [[Number(number), Number(child)]];
  });
  return new Map(numbered);
}

function readable(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A new connection that has had one request, and the number of its worker. */
export async function connection(
  server: ServerProcess,
): Promise<{ readonly client: RawClient; readonly worker: number }> {
  const path = `/uploads/probe-${randomBytes(6).toString("hex")}`;
  const client = await RawClient.open(server.port);
  await begin(client, "GET", path);
  await finalAnswer(client, "GET");
  const line = new RegExp(`^.*"path":"${path}".*$`, "m");
  const logged = await settled(
    async () => line.exec(server.output)?.[0] ?? "",
    (text) => text !== "",
  );
  return { client, worker: (JSON.parse(logged) as { worker: number }).worker };
}

/** New connections to all workers of a server, by the number of the worker. */
export async function connections(server: ServerProcess, count = 3): Promise<Map<number, RawClient>> {
  const found = new Map<number, RawClient>();
  for (let tries = 0; found.size < count; tries += 1) {
    assert.ok(tries < 100, "every worker gets connections");
    const { client, worker } = await connection(server);
    if (found.has(worker)) client.socket.destroy();
    else found.set(worker, client);
  }
  return found;
}

/** Bytes that a process has read by system calls, from files and sockets (proc_pid_io(5)). */
export function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
