/** Uploads whose saved bytes are lost: they end with `upload-damaged`, and clients begin anew. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as tus from "tus-js-client";
import { createClient } from "../../src/client/node.ts";
import { diskStore } from "../../src/disk.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { stored } from "../helpers/stored.ts";

const MIB = 1024 * 1024;
const TUS = { "Tus-Resumable": "1.0.0" };
const PARTIAL = { "Content-Type": "application/partial-upload" };

/** The folder of the only upload of a store. */
async function folderOf(folder: StoreFolder): Promise<string> {
  const uploads = join(folder.path, "uploads");
  const [name, ...others] = (await readdir(uploads)).filter((one) => /^[0-9a-f]{32}$/.test(one));
  assert(name !== undefined && others.length === 0);
  return join(uploads, name);
}

/** A file in the folder of the only upload. */
async function fileOf(folder: StoreFolder, name: RegExp): Promise<string> {
  const path = await folderOf(folder);
  const found = (await readdir(path)).find((one) => name.test(one));
  assert(found !== undefined);
  return join(path, found);
}

const DAMAGES: Readonly<Record<string, (folder: StoreFolder) => Promise<void>>> = {
  "bytes that were cut": async (folder) => truncate(await fileOf(folder, /^bytes\./), 100),
  "bytes that are gone": async (folder) => rm(await fileOf(folder, /^bytes\./)),
  "a record that was cut": async (folder) => truncate(await fileOf(folder, /\.record$/), 20),
  "an empty record": async (folder) => truncate(await fileOf(folder, /\.record$/), 0),
  "a record of something else": async (folder) => writeFile(await fileOf(folder, /\.record$/), "[]"),
};

/** A service over a disk folder, and the address of an upload there that has a mebibyte. */
async function begun(folder: StoreFolder): Promise<{ readonly service: Service; readonly at: string }> {
  const service = await Service.start({ store: diskStore({ root: folder.path }) });
  const headers = { "Upload-Complete": "?0" };
  const answer = await fetch(`${service.url}/uploads`, { method: "POST", headers, body: randomBytes(MIB) });
  assert.equal(answer.status, 201);
  return { service, at: service.url + (answer.headers.get("location") ?? "") };
}

describe("an upload on disk whose saved state is damaged", () => {
  for (const [what, damage] of Object.entries(DAMAGES)) {
    for (const first of ["HEAD", "GET", "PATCH", "the last PATCH", "tus"] as const) {
      test(`${what}: ${first} and every later request answer 410 upload-damaged, and no bytes are kept`, async () => {
        await using folder = await StoreFolder.make();
        const { service, at } = await begun(folder);
        await using _ = service;
        await damage(folder);
        const patch = (complete: "?0" | "?1") => ({
          method: "PATCH",
          headers: { ...PARTIAL, "Upload-Offset": String(MIB), "Upload-Complete": complete },
          body: "more",
        });
        const requests: Readonly<Record<string, RequestInit>> = {
          HEAD: { method: "HEAD" },
          GET: {},
          PATCH: patch("?0"),
          "the last PATCH": patch("?1"),
          tus: { method: "HEAD", headers: TUS },
        };
        const order = [first, ...Object.keys(requests)];
        for (const name of order) {
          const answer = await fetch(at, requests[name]);
          assert.equal(answer.status, 410, `${name} after ${first}`);
          if (requests[name]?.method === "HEAD") continue;
          assert.equal(((await answer.json()) as { code: string }).code, "upload-damaged");
        }
        const left = (await readdir(await folderOf(folder))).filter((name) => name.startsWith("bytes."));
        assert.deepEqual(left, []);
        assert.equal((await fetch(at, { method: "DELETE" })).status, 204);
      });
    }

    test(`${what}: a collection leaves the upload to its client until it expires`, async () => {
      await using folder = await StoreFolder.make();
      const { service } = await begun(folder);
      await using _ = service;
      await damage(folder);
      await service.fixity.collect();
      await service.fixity.collect();
      assert.equal((await readdir(join(folder.path, "uploads"))).length, 1);
    });
  }

  test("a record of a later version is not damage: another instance may continue it", async () => {
    await using folder = await StoreFolder.make();
    const { service, at } = await begun(folder);
    await using _ = service;
    await writeFile(await fileOf(folder, /\.record$/), '{"version":2}');
    for (const method of ["HEAD", "GET"]) assert.equal((await fetch(at, { method })).status, 503);
    assert.equal((await readdir(await folderOf(folder))).filter((name) => name.startsWith("bytes.")).length, 1);
  });

  test("fixity/client forgets the remembered upload, and begins anew from the start", async () => {
    await using folder = await StoreFolder.make();
    const { service, at } = await begun(folder);
    await using _ = service;
    await DAMAGES["bytes that were cut"]?.(folder);
    let remembered: string | null = JSON.stringify({ at, expires: Date.now() + 1_000_000 });
    const noted: string[] = [];
    const storage = {
      get: () => remembered,
      set: (_key: string, value: string) => void noted.push(value),
      remove: () => {
        remembered = null;
      },
    };
    const bytes = randomBytes(6 * MIB);
    const client = createClient({ endpoint: `${service.url}/uploads`, storage });
    const source = new File([bytes], "a.bin", { lastModified: 1 });
    const { digest } = await client.upload(source, { fingerprint: "one", declare: false });
    assert.equal(digest, `sha256:${sha256(bytes)}`);
    assert.equal(await stored(`${service.url}/uploads/${sha256(bytes)}`), sha256(bytes));
    assert.equal(noted.length, 1);
    assert(!noted[0]?.includes(at));
    assert.equal(remembered, null);
  });

  test("tus-js-client begins anew", async () => {
    await using folder = await StoreFolder.make();
    const { service, at } = await begun(folder);
    await using _ = service;
    await DAMAGES["bytes that were cut"]?.(folder);
    const bytes = randomBytes(2 * MIB);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const upload = new tus.Upload(bytes, {
      endpoint: `${service.url}/uploads`,
      uploadUrl: at,
      retryDelays: [],
      onSuccess: () => resolve(),
      onError: reject,
    });
    upload.start();
    await promise;
    assert.equal(await stored(`${service.url}/uploads/${sha256(bytes)}`), sha256(bytes));
  });
});

test("a server that answers every question for an upload with 500 does not hold a client for ever", async () => {
  await using service = await Service.start();
  let questions = 0;
  let creations = 0;
  const failing: typeof fetch = async (url, init) => {
    const isUpload = (url as string).includes("/in-progress/");
    if (init?.method === "POST") creations += 1;
    if (isUpload && init?.method === "PATCH" && creations < 2) return new Response(null, { status: 500 });
    if (isUpload && init?.method === "HEAD") {
      questions += 1;
      return new Response(null, { status: 500 });
    }
    return fetch(url, init);
  };
  const retry = { minDelay: 1, maxDelay: 2, attempts: 20 };
  const client = createClient({ endpoint: `${service.url}/uploads`, fetch: failing, retry });
  const bytes = randomBytes(3 * MIB);
  const { digest } = await client.upload(bytes, { declare: false });
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.deepEqual([questions, creations], [3, 2]);
});
