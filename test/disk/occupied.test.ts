/** Something else than a file in the place of a blob: one error on every route, and nothing blocks. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { fileHead, formOf, Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const BYTES = "hello, world";
const HEX = sha256(BYTES);
const LINK = `/uploads/${HEX}.txt`;

/** Puts something in the place of the blob; returns what undoes it. */
type Occupant = (path: string) => Promise<() => unknown>;

const nothing = (): void => undefined;

const OCCUPANTS: Readonly<Record<string, Occupant>> = {
  "a folder": async (path) => {
    await mkdir(path);
    return nothing;
  },
  "a folder with a file in it": async (path) => {
    await mkdir(path);
    await writeFile(`${path}/file`, BYTES);
    return nothing;
  },
  "a FIFO": async (path) => {
    execFileSync("mkfifo", [path]);
    return nothing;
  },
  "a socket": async (path) => {
    const server = createServer().listen(path);
    return () => server.close();
  },
  "a link to nowhere": async (path) => {
    await symlink(`${path}.nowhere`, path);
    return nothing;
  },
  "a link to a folder": async (path) => {
    await symlink(dirname(path), path);
    return nothing;
  },
  "a circle of links": async (path) => {
    await symlink(path, path);
    return nothing;
  },
  "a link to a device": async (path) => {
    await symlink("/dev/null", path);
    return nothing;
  },
};

const form = formOf([{ head: fileHead(), content: BYTES }]);

/** Every route to a blob. */
const ROUTES: readonly (readonly [name: string, target: string, init: RequestInit])[] = [
  ["GET", LINK, {}],
  ["HEAD", LINK, { method: "HEAD" }],
  ["GET of a range", LINK, { headers: { range: "bytes=-3" } }],
  ["GET of several ranges", LINK, { headers: { range: "bytes=0-1,5-6" } }],
  ["GET of the page", `${LINK}?view`, {}],
  ["PUT", LINK, { method: "PUT", body: BYTES }],
  ["PUT in chunks", LINK, { method: "PUT", body: ReadableStream.from([Buffer.from(BYTES)]), duplex: "half" }],
  ["POST", "/uploads", { method: "POST", headers: { "content-type": "text/plain" }, body: BYTES }],
  [
    "form",
    "/uploads",
    {
      method: "POST",
      headers: { "content-type": `multipart/form-data; boundary=${form.boundary}` },
      body: new Uint8Array(form.body),
    },
  ],
  ["resumable upload", "/uploads", { method: "POST", headers: { "upload-complete": "?1" }, body: BYTES }],
];

for (const [name, occupy] of Object.entries(OCCUPANTS)) {
  for (const durability of ["full", "none"] as const) {
    test(`${name} in the place of a blob (durability ${durability}): 500 on every route, the path in the cause`, async () => {
      await using folder = await StoreFolder.make();
      await using store = diskStore({ root: folder.path, durability });
      await store.check();
      await mkdir(folder.fanOut(HEX), { recursive: true });
      const free = await occupy(folder.blob(HEX));
      try {
        const causes: string[] = [];
        await using service = await Service.start({
          store,
          onAnswer: (_, { note }) => void causes.push(String((note?.error?.cause as Error | undefined)?.message)),
        });
        for (const [route, target, init] of ROUTES) {
          const isStream = init.body instanceof ReadableStream;
          const body = isStream ? { body: ReadableStream.from([Buffer.from(BYTES)]) } : {};
          const response = await fetch(service.url + target, { ...init, ...body });
          assert.equal(response.status, 500, route);
          const text = await response.text();
          assert.ok(!text.includes(folder.path), "the answer names no path");
          if (init.method !== "HEAD" && !route.includes("page")) assert.match(text, /store-misconfigured/, route);
        }
        assert.ok(
          causes.every((cause) => cause.includes(HEX)),
          JSON.stringify(causes),
        );
        assert.deepEqual(await Array.fromAsync(service.fixity.list()), []);
        assert.deepEqual(await folder.staged(), []);
      } finally {
        await free();
      }
    });
  }
}

test("many reads of FIFOs leave the threads free", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  await store.check();
  await mkdir(folder.fanOut(HEX), { recursive: true });
  execFileSync("mkfifo", [folder.blob(HEX)]);
  await using service = await Service.start({ store });
  const answers = await Promise.all(Array.from({ length: 16 }, () => fetch(service.url + LINK)));
  assert.ok(answers.every(({ status }) => status === 500));
  const { digest } = await service.fixity.put([Buffer.from("another")]);
  assert.equal(await (await fetch(`${service.url}/uploads/${digest.hex}`)).text(), "another");
});

test("a link to a file is served as the file", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  await store.check();
  await mkdir(folder.fanOut(HEX), { recursive: true });
  await writeFile(`${folder.path}/elsewhere`, BYTES);
  await symlink(`${folder.path}/elsewhere`, folder.blob(HEX));
  await using service = await Service.start({ store });
  assert.equal(await (await fetch(service.url + LINK)).text(), BYTES);
  assert.equal((await fetch(service.url + LINK, { method: "PUT", body: BYTES })).status, 200);
});
