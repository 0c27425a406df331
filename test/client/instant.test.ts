/** The client in Node if the server has the content already, and what it costs to find out. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createClient, type UploadProgress } from "../../src/client/node.ts";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;

let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data") });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Records each request's method, its path without ids, and whether it declares a digest. */
function recording(): { requests: string[]; fetch: typeof fetch } {
  const requests: string[] = [];
  return {
    requests,
    fetch: (url, init) => {
      const path = new URL(url).pathname.replace(/[0-9a-f]{32,}.*/, "…");
      const isDeclared = "Repr-Digest" in { ...(init?.headers as Record<string, string>) };
      requests.push(`${init?.method} ${path}${isDeclared ? " with a digest" : ""}`);
      return fetch(url, init);
    },
  };
}

/** A file whose bytes can be sent at once, but hashed only after `until`. */
class SlowlyHashed extends Blob {
  readonly #until: Promise<void>;

  constructor(bytes: Buffer<ArrayBuffer>, until: Promise<void>) {
    super([bytes]);
    this.#until = until;
  }

  override stream(): ReturnType<Blob["stream"]> {
    const waiting = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
    // a reader that has read enough cancels the stream
    this.#until.then(() => super.stream().pipeTo(waiting.writable)).catch(() => null);
    return waiting.readable;
  }
}

async function unfinished(): Promise<number> {
  const names = await readdir(join(folder, "data"), { recursive: true });
  return names.filter((name) => /in-progress.*[0-9a-f]{32}$/.test(name)).length;
}

test("sending stops once the digest is known and the content is stored", async () => {
  const bytes = randomBytes(24 * MIB);
  const { url } = await createClient({ endpoint: `${server.url}/uploads` }).upload(bytes);
  // the connection that sends stands still: the upload can end in no other way
  await using proxy = await BreakingProxy.start(server.port, { up: 2 * MIB, holds: true, times: 1 });
  const { requests, fetch: recorded } = recording();
  const { promise: sending, resolve } = Promise.withResolvers<void>();
  const fetch: typeof recorded = (url, init) => {
    if (init?.method === "PATCH") resolve();
    return recorded(url, init);
  };
  const client = createClient({ endpoint: `${proxy.url}/uploads`, fetch });
  const result = await client.upload(new SlowlyHashed(bytes, sending), { filename: "again.txt" });
  assert.equal(result.url, `${url.replace(server.url, proxy.url)}.txt`);
  assert.equal(result.name, "again.txt");
  assert.equal(result.existed, true);
  assert.ok(result.sent < bytes.length, `${result.sent}`);
  assert.deepEqual(requests, [
    "POST /uploads",
    "PATCH /uploads/in-progress/…",
    "HEAD /uploads/…",
    "POST /uploads with a digest",
    "DELETE /uploads/in-progress/…",
  ]);
});

test("a declared digest is checked with the server before anything is sent", async () => {
  const bytes = randomBytes(2 * MIB);
  const declare = `sha256:${sha256(bytes)}`;
  const { requests, fetch } = recording();
  const client = createClient({ endpoint: `${server.url}/uploads`, fetch });
  assert.deepEqual(await client.upload(bytes, { declare }).then(({ existed, sent }) => [existed, sent]), [
    false,
    2 * MIB,
  ]);
  assert.deepEqual(await client.upload(bytes, { declare }).then(({ existed, sent }) => [existed, sent]), [true, 0]);
  assert.equal(requests.at(-1), "POST /uploads with a digest");
});

test("if the network is much slower than hashing, the server is asked first", async () => {
  const { requests, fetch: recorded } = recording();
  // 2 MiB/s, as if the network took so long
  const slow: typeof fetch = async (url, init) => {
    const headers = { ...(init?.headers as Record<string, string>) };
    const size = Number(headers["Content-Length"] ?? 0);
    const response = await recorded(url, init);
    await new Promise((resolve) => setTimeout(resolve, (size / (2 * MIB)) * 1000));
    return response;
  };
  const client = createClient({ endpoint: `${server.url}/uploads`, fetch: slow });
  const bytes = randomBytes(2 * MIB);
  await client.upload(bytes);
  requests.length = 0;
  const phases: UploadProgress["phase"][] = [];
  const again = await client.upload(bytes, { onProgress: ({ phase }) => phases.push(phase) });
  assert.deepEqual([again.existed, again.sent], [true, 0]);
  assert.deepEqual(requests, ["POST /uploads with a digest"]);
  assert.equal(phases[0], "hashing");
});

/** A file of which the hash stands still before its last bytes, or almost at once, until it is let go on. */
class HeldInHashing extends Blob {
  readonly #bytes: Buffer<ArrayBuffer>;
  readonly #most: number;
  readonly #until: Promise<void>;

  constructor(bytes: Buffer<ArrayBuffer>, most: number, until: Promise<void>) {
    super([bytes]);
    this.#bytes = bytes;
    this.#most = most;
    this.#until = until;
  }

  override stream(): ReturnType<Blob["stream"]> {
    const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
    const writer = writable.getWriter();
    const write = async (): Promise<void> => {
      await writer.write(this.#bytes.subarray(0, this.#most));
      await this.#until;
      await writer.write(this.#bytes.subarray(this.#most));
      await writer.close();
    };
    write().catch(() => null);
    return readable;
  }
}

/** Answers to parts take so many milliseconds at least: a measurement that no quick machine can undercut. */
function slowed(ms: number): ReturnType<typeof recording> & { readonly parted: Promise<void> } {
  const { requests, fetch: recorded } = recording();
  const { promise: parted, resolve } = Promise.withResolvers<void>();
  const fetch: typeof recorded = async (url, init) => {
    const response = await recorded(url, init);
    if (init?.method !== "PATCH") return response;
    await new Promise((wake) => setTimeout(wake, ms));
    setTimeout(resolve, 200);
    return response;
  };
  return { requests, fetch, parted };
}

test("on a slow network nothing is sent after the first append while the digest is computed", async () => {
  const bytes = randomBytes(64 * MIB);
  const { url } = await createClient({ endpoint: `${server.url}/uploads` }).upload(bytes);
  const { requests, fetch, parted } = slowed(2000);
  const client = createClient({ endpoint: `${server.url}/uploads`, fetch });
  const phases: UploadProgress["phase"][] = [];
  const onProgress = ({ phase }: UploadProgress): void => void phases.push(phase);
  const result = await client.upload(new HeldInHashing(bytes, 63 * MIB, parted), { onProgress });
  assert.deepEqual([result.url, result.existed, result.sent], [url, true, 16 * MIB]);
  assert.deepEqual(requests, [
    "POST /uploads",
    "PATCH /uploads/in-progress/…",
    "HEAD /uploads/…",
    "POST /uploads with a digest",
    "DELETE /uploads/in-progress/…",
  ]);
  assert.deepEqual([phases[0], phases.at(-1)], ["sending", "hashing"]);
});

test("an upload waits for a digest that comes long after its bytes only with declare: true", async () => {
  const never = Promise.withResolvers<void>();
  for (const declare of [undefined, true]) {
    const bytes = randomBytes(64 * MIB);
    const { requests, fetch, parted } = slowed(400);
    const client = createClient({ endpoint: `${server.url}/uploads`, fetch });
    const held = new HeldInHashing(bytes, MIB, declare === true ? parted : never.promise);
    const { digest, existed } = await client.upload(held, { declare });
    assert.deepEqual([digest, existed], [`sha256:${sha256(bytes)}`, false]);
    assert.equal(
      requests.some((request) => request.endsWith("with a digest")),
      declare === true,
      requests.join(),
    );
  }
});

test("every upload declares its digest, except with declare: false", async () => {
  const { requests, fetch } = recording();
  const client = createClient({ endpoint: `${server.url}/uploads`, fetch });
  const stream = (): ReadableStream<Uint8Array> => new Blob([randomBytes(3 * MIB)]).stream();
  for (const source of [randomBytes(10), randomBytes(3 * MIB), stream()]) {
    requests.length = 0;
    await client.upload(source);
    assert.match(requests.findLast((request) => !request.startsWith("HEAD")) ?? "", /with a digest$/);
  }
  requests.length = 0;
  for (const source of [randomBytes(10), randomBytes(3 * MIB), stream()])
    await client.upload(source, { declare: false });
  assert.deepEqual(
    requests.filter((request) => request.endsWith("with a digest") || request.startsWith("HEAD")),
    [],
  );
});

test("bytes that were damaged on the way are not stored, but sent once more", async () => {
  let damaged = 0;
  const damaging: typeof fetch = async (url, init) => {
    if (init?.method !== "PATCH" || damaged > 0) return fetch(url, init);
    damaged += 1;
    const { length } = Buffer.concat(await Array.fromAsync(init.body as unknown as AsyncIterable<Uint8Array>));
    return fetch(url, { ...init, body: Buffer.alloc(length) });
  };
  const client = createClient({ endpoint: `${server.url}/uploads`, fetch: damaging });
  const path = join(folder, "damaged.bin");
  const bytes = randomBytes(4 * MIB);
  await writeFile(path, bytes);
  assert.equal((await client.upload(path)).digest, `sha256:${sha256(bytes)}`);
  assert.equal(damaged, 1);
});

test("no unfinished upload is left behind", async () => {
  assert.equal(await unfinished(), 0);
});
