/** Sources that cannot be read, or not any more: an error at once, and not an empty file or attempts without end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFileSync, createReadStream, openAsBlob, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { after, before, test } from "node:test";
import { type ClientOptions, createClient, type UploadOptions, type UploadSource } from "../../src/client/node.ts";
import { Service } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const WAYS: Readonly<Record<string, Partial<ClientOptions>>> = {
  "Node's HTTP client": {},
  "a custom fetch": { fetch: (...given) => fetch(...given) },
};

let folder = "";
let service: Service;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  service = await Service.start();
});
after(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** The code of the error with which an upload ends, or its digest. Retries with the defaults, which would take minutes. */
async function outcome(
  source: UploadSource,
  options: UploadOptions = {},
  way: Partial<ClientOptions> = {},
): Promise<string> {
  const client = createClient({ endpoint: `${service.url}/uploads`, ...way });
  try {
    return (await client.upload(source, options)).digest;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    client.close();
  }
}

const CHANGES: Readonly<Record<string, (path: string) => void>> = {
  grown: (path) => appendFileSync(path, "x"),
  "cut short": (path) => truncateSync(path, 10),
  removed: (path) => unlinkSync(path),
  emptied: (path) => truncateSync(path),
};

for (const [way, client] of Object.entries(WAYS)) {
  test(`a file that has changed since it was opened fails at once, by ${way}`, { timeout: 60_000 }, async () => {
    for (const [change, apply] of Object.entries(CHANGES)) {
      for (const size of [100, 300_000, 3 * MIB]) {
        for (const declare of [undefined, true, false]) {
          const path = join(folder, "changing");
          writeFileSync(path, Buffer.alloc(size, 1));
          const blob = await openAsBlob(path);
          apply(path);
          const shown = `${change}, ${size}, ${declare}`;
          assert.equal(await outcome(blob, { declare }, client), "source-changed", shown);
          assert.equal(await outcome(blob.stream(), { declare }, client), "source-changed", `stream: ${shown}`);
          await rm(path, { force: true });
        }
      }
    }
  });
}

test("a file that changes between two appends fails at once", { timeout: 60_000 }, async () => {
  for (const way of Object.values(WAYS)) {
    const path = join(folder, "growing");
    writeFileSync(path, Buffer.alloc(20 * MIB, 2));
    const blob = await openAsBlob(path);
    let hasChanged = false;
    const onProgress = ({ bytes }: { readonly bytes: number }): void => {
      if (bytes < MIB || hasChanged) return;
      hasChanged = true;
      appendFileSync(path, "x");
    };
    assert.equal(await outcome(blob, { onProgress, declare: false }, way), "source-changed");
  }
});

test("a file that grows while its last byte is sent fails, although the server has stored it", async () => {
  const path = join(folder, "growing-late");
  for (const [byte, open] of [
    [3, async () => path],
    [4, () => openAsBlob(path)],
  ] as const) {
    writeFileSync(path, Buffer.alloc(2 * MIB, byte));
    const opened = await open();
    let hasStored = false;
    const growing: typeof fetch = async (url, init) => {
      const response = await fetch(url, init);
      const { "Upload-Complete": complete } = { ...(init?.headers as Record<string, string>) };
      if (complete === "?1") {
        hasStored = response.ok;
        appendFileSync(path, "x");
      }
      return response;
    };
    assert.equal(await outcome(opened, {}, { fetch: growing }), "source-changed");
    assert.equal(hasStored, true);
  }
});

test("a stream that cannot be read is refused", { timeout: 60_000 }, async () => {
  const failing = new Readable({ read: () => undefined });
  failing.destroy(new Error("broken"));
  await once(failing, "error");
  const ended = Readable.from([Buffer.from("a")]);
  await ended.toArray();
  const destroyed = new PassThrough();
  destroyed.destroy();
  const missing = createReadStream(join(folder, "not there"));
  const locked = new Blob(["a"]).stream();
  const reader = locked.getReader();
  const consumed = new Blob(["a"]).stream();
  await Array.fromAsync(consumed);
  const cancelled = new Blob(["a"]).stream();
  await cancelled.cancel();
  const response = new Response("a");
  await response.text();
  const detached = new ArrayBuffer(8);
  const view = new Uint8Array(detached);
  structuredClone(detached, { transfer: [detached] });
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error("broken")),
  });
  const sources: Readonly<Record<string, unknown>> = {
    failing,
    ended,
    destroyed,
    missing,
    locked,
    consumed,
    cancelled,
    body: response.body,
    detached,
    view,
    broken,
  };
  for (const [name, source] of Object.entries(sources)) {
    assert.equal(await outcome(source as UploadSource), "invalid-source", name);
  }
  reader.releaseLock();
});

test("an empty stream, and the rest of a stream that was begun elsewhere, are files", async () => {
  const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  const B = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
  assert.equal(await outcome(Readable.from([])), EMPTY);
  assert.equal(await outcome(new Blob([]).stream()), EMPTY);
  assert.equal(await outcome(new Uint8Array()), EMPTY);
  const begun = ReadableStream.from([Buffer.from("a"), Buffer.from("b")]) as ReadableStream<Uint8Array>;
  const reader = begun.getReader();
  await reader.read();
  reader.releaseLock();
  assert.equal(await outcome(begun), B);
});
