/** Uploads over HTTP through `fixity serve` while nothing listens where its object store was. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ServerProcess } from "../helpers/server-process.ts";
import { fileHead, formOf, sha256 } from "../helpers/service.ts";
import { content } from "../../src/stores/contract/tools.ts";
import { ScriptedServer } from "./scripted-server.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** The smallest that there are, so that a large file has several of them. */
const PART_SIZE = 5 * MIB;
/** Room for the part that each upload is filling when the outage begins, and little more. */
const MEMORY_BUDGET = 48 * MIB;
const SMALL = 4 * KIB;

interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Route {
  readonly status: number;
  /** The resource that the bytes are appended to is created before the outage. */
  readonly create?: (length: number) => RequestHead;
  /** @param target the path of that resource, or of the collection */
  readonly send: (bytes: Buffer, target: string) => RequestHead & { readonly body: Buffer };
}

const TUS = { "Tus-Resumable": "1.0.0" };

export const ROUTE_NAMES = [
  "a raw POST",
  "a form",
  "a PUT to a link",
  "a tus PATCH",
  "an IETF append",
  "a resumable POST",
] as const;
export type RouteName = (typeof ROUTE_NAMES)[number];

const ROUTES: Readonly<Record<RouteName, Route>> = {
  "a raw POST": {
    status: 201,
    send: (body, path) => ({ method: "POST", path, headers: {}, body }),
  },
  "a form": {
    status: 201,
    send: (bytes, path) => {
      const { boundary, body } = formOf([{ head: fileHead(), content: bytes }]);
      return { method: "POST", path, headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` }, body };
    },
  },
  "a PUT to a link": {
    status: 201,
    send: (body, path) => ({ method: "PUT", path: `${path}/${sha256(body)}`, headers: {}, body }),
  },
  "a tus PATCH": {
    status: 204,
    create: (length) => ({
      method: "POST",
      path: "/uploads",
      headers: { ...TUS, "Upload-Length": String(length) },
    }),
    send: (body, path) => ({
      method: "PATCH",
      path,
      headers: { ...TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" },
      body,
    }),
  },
  "an IETF append": {
    status: 201,
    create: () => ({ method: "POST", path: "/uploads", headers: { "Upload-Complete": "?0" } }),
    send: (body, path) => ({
      method: "PATCH",
      path,
      headers: { "Upload-Offset": "0", "Upload-Complete": "?1", "Content-Type": "application/partial-upload" },
      body,
    }),
  },
  "a resumable POST": {
    status: 201,
    send: (body, path) => ({ method: "POST", path, headers: { "Upload-Complete": "?1" }, body }),
  },
};

/** One upload, of which a test sends one half after the other. */
class Upload {
  readonly name: string;
  readonly bytes: Buffer;
  /** Resolves when the service has answered. */
  readonly answered: Promise<void>;
  isAnswered = false;
  readonly #outgoing: ClientRequest;
  readonly #body: Buffer;

  private constructor(name: string, bytes: Buffer, { port, route, target }: Addressed) {
    this.name = name;
    this.bytes = bytes;
    const { body, headers, ...head } = route.send(bytes, target);
    this.#body = body;
    const options = { ...head, headers: { ...headers, "Content-Length": body.length } };
    this.#outgoing = request({ host: "127.0.0.1", port, agent: false, ...options });
    this.answered = this.#takeAnswer(route.status);
    // a failure is reported by whoever awaits the answer, which may be much later
    this.answered.catch(() => null);
  }

  static async prepare(name: RouteName, bytes: Buffer, port: number): Promise<Upload> {
    const route: Route = ROUTES[name];
    const target = route.create === undefined ? "/uploads" : await createResource(port, route.create(bytes.length));
    return new Upload(`${name} of ${bytes.length} bytes`, bytes, { port, route, target });
  }

  /** Sends the first half, whether the service reads it or not. */
  sendHalf(): void {
    this.#outgoing.write(this.#body.subarray(0, this.#body.length / 2));
  }

  sendRest(): void {
    this.#outgoing.end(this.#body.subarray(this.#body.length / 2));
  }

  async #takeAnswer(status: number): Promise<void> {
    try {
      const [answer] = (await once(this.#outgoing, "response")) as [IncomingMessage];
      const body = await buffer(answer);
      assert.equal(answer.statusCode, status, `${this.name}: ${body.toString()}`);
    } finally {
      this.isAnswered = true;
    }
  }
}

interface Addressed {
  readonly port: number;
  readonly route: Route;
  readonly target: string;
}

async function createResource(port: number, { method, path, headers }: RequestHead): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
  assert.equal(answer.status, 201, await answer.text());
  return new URL(answer.headers.get("location") ?? assert.fail(), `http://127.0.0.1:${port}`).pathname;
}

/**
 * Starts an object store on a port that the system does not give to other sockets: neither another server nor an outgoing
 * connection takes it while the store is away.
 */
async function startStore(): Promise<ScriptedServer> {
  for (;;) {
    try {
      return await ScriptedServer.start(30_500 + Math.floor(Math.random() * 2_000));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
}

/** A field of a process's memory, in bytes. Linux only. */
async function memoryOf({ pid }: ServerProcess, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status) ?? assert.fail(status);
  return Number(kib) * KIB;
}

export interface Outage {
  readonly routes: readonly RouteName[];
  readonly durationMs: number;
  /** Bytes of a large file: more than twice a part. */
  readonly largeSize: number;
  /** Large files by each route that begin during the outage. @default 1 */
  readonly largeDuring?: number;
  /** Bytes that the memory of the server may grow by. Checked on Linux. */
  readonly memoryGrowth?: number;
}

/**
 * Uploads a small and a large file by each route before the outage, which comes in the middle of them, and others during
 * it. None fails, and all of them are acknowledged once the outage is over.
 */
export function testOutage(name: string, options: Outage): void {
  const { routes, durationMs, largeSize, largeDuring = 1, memoryGrowth } = options;
  test(name, async (t) => {
    await using store = await startStore();
    await using server = await ServerProcess.start({
      dir: "/nowhere/data",
      env: {
        UPLOAD_BUCKET_NAME: "scripted",
        UPLOAD_BUCKET_ENDPOINT: store.endpoint,
        UPLOAD_BUCKET_ACCESS_KEY: "scripted",
        UPLOAD_BUCKET_SECRET_KEY: "scripted",
        UPLOAD_BUCKET_PART_SIZE: String(PART_SIZE),
        UPLOAD_MEMORY: String(MEMORY_BUDGET),
      },
    });
    let seed = 0;
    const prepare = async (sizes: readonly number[]): Promise<Upload[]> => {
      const uploads: Upload[] = [];
      for (const route of routes) {
        for (const size of sizes) uploads.push(await Upload.prepare(route, content(size, (seed += 1)), server.port));
      }
      return uploads;
    };
    const begun = await prepare([SMALL, largeSize]);
    const later = await prepare([SMALL, ...Array.from({ length: largeDuring }, () => largeSize)]);
    const all = [...begun, ...later];
    const isMemoryChecked = memoryGrowth !== undefined && process.platform === "linux";
    const memoryBefore = isMemoryChecked ? await memoryOf(server, "VmRSS") : 0;

    for (const upload of begun) upload.sendHalf();
    // every large file has sent a part
    const sent = () => [...store.bucket.uploads.values()].filter(({ parts }) => parts.size > 0).length;
    while (sent() < routes.length && !begun.some(({ isAnswered }) => isAnswered)) await sleep(10);

    await store.awayDuring(async () => {
      for (const upload of begun) upload.sendRest();
      for (const upload of later) {
        upload.sendHalf();
        upload.sendRest();
      }
      await Promise.race([sleep(durationMs), ...all.map(async ({ answered }) => answered)]);
      assert.deepEqual(
        all.filter(({ isAnswered }) => isAnswered).map(({ name }) => name),
        [],
        "none can be stored, and none is given up",
      );
    });
    await Promise.all(all.map(async ({ answered }) => answered));

    if (isMemoryChecked) {
      const growth = (await memoryOf(server, "VmHWM")) - memoryBefore;
      t.diagnostic(`the server grew by ${Math.round(growth / MIB)} MiB`);
      assert(growth < memoryGrowth, `the server grew by ${growth} bytes`);
    }
    for (const { name, bytes } of all) {
      const answer = await fetch(`${server.url}/uploads/${sha256(bytes)}`);
      assert.equal(answer.status, 200, name);
      assert(Buffer.from(await answer.arrayBuffer()).equals(bytes), name);
    }
    assert.equal(store.bucket.uploads.size, 0, "no multipart upload is left");
  });
}
