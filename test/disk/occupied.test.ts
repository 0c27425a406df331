/** Something that is not a file in the place of a blob, or not a folder in that of a folder of blobs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstat, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { needing } from "../helpers/requirements.ts";
import { fileHead, formOf, Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { stepOf, stepsBefore, BYTES as UPLOAD_BYTES } from "./upload-stages.ts";

const BYTES = "hello, world";
const HEX = sha256(BYTES);
const LINK = `/uploads/${HEX}.txt`;

/** Puts something in a place; returns what undoes it. */
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

/** What stands in the place of a folder of blobs. */
const FOLDER_OCCUPANTS: Record<string, Occupant> = {
  "a file": async (path) => {
    await writeFile(path, BYTES);
    return nothing;
  },
  "a link to a file": async (path) => {
    await writeFile(`${path}.file`, BYTES);
    await symlink(`${path}.file`, path);
    return nothing;
  },
};
for (const name of ["a FIFO", "a socket", "a link to nowhere", "a circle of links", "a link to a device"]) {
  FOLDER_OCCUPANTS[name] = OCCUPANTS[name] ?? assert.fail();
}

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

const TUS = { "tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream" };

/** Uploads in two requests, the second of which completes them; how each is begun and continued. */
const RESUMED: readonly (readonly [name: string, begin: RequestInit, complete: RequestInit])[] = [
  [
    "IETF",
    { headers: { "upload-complete": "?0" }, body: BYTES.slice(0, 5) },
    {
      headers: { "upload-complete": "?1", "upload-offset": "5", "content-type": "application/partial-upload" },
      body: BYTES.slice(5),
    },
  ],
  [
    "tus",
    { headers: { ...TUS, "upload-length": String(BYTES.length) }, body: BYTES.slice(0, 5) },
    { headers: { ...TUS, "upload-offset": "5" }, body: BYTES.slice(5) },
  ],
];

const PLACES = [
  ...Object.entries(OCCUPANTS).map(([name, occupy]) => ({ name, occupy, kind: "blob" as const })),
  ...Object.entries(FOLDER_OCCUPANTS).map(([name, occupy]) => ({ name, occupy, kind: "folder of blobs" as const })),
];

for (const { name, occupy, kind } of PLACES) {
  for (const durability of ["full", "none"] as const) {
    test(`${name} in the place of a ${kind} (durability ${durability}): 500 on every route, the path in the cause`, async () => {
      await using folder = await StoreFolder.make();
      await using store = diskStore({ root: folder.path, durability });
      await store.check();
      const place = kind === "blob" ? folder.blob(HEX) : folder.fanOut(HEX);
      await mkdir(dirname(place), { recursive: true });
      const free = await occupy(place);
      try {
        const causes: string[] = [];
        await using service = await Service.start({
          store,
          authorize: () => undefined,
          onAnswer: (_, { status, note }) => {
            if (status === 500) causes.push(String((note?.error?.cause as Error | undefined)?.message));
          },
        });
        const ask = async (route: string, target: string, init: RequestInit): Promise<void> => {
          const response = await fetch(new URL(target, service.url), init);
          assert.equal(response.status, 500, route);
          const text = await response.text();
          assert.ok(!text.includes(folder.path), "the answer names no path");
          if (init.method !== "HEAD" && !route.includes("page")) assert.match(text, /store-misconfigured/, route);
        };
        for (const [route, target, init] of ROUTES) {
          const isStream = init.body instanceof ReadableStream;
          await ask(route, target, isStream ? { ...init, body: ReadableStream.from([Buffer.from(BYTES)]) } : init);
        }
        const uploads: (readonly [location: string, complete: RequestInit])[] = [];
        for (const [route, begin, complete] of RESUMED) {
          const begun = await fetch(`${service.url}/uploads`, { method: "POST", ...begin });
          assert.equal(begun.status, 201, route);
          const location = begun.headers.get("location") ?? assert.fail();
          await ask(`completing ${route}`, location, { method: "PATCH", ...complete });
          uploads.push([location, complete]);
        }
        // a folder is not removed, and neither is what stands in the place of one
        const isRemovable = kind === "blob" && !name.startsWith("a folder");
        if (!isRemovable) await ask("DELETE", LINK, { method: "DELETE" });
        assert.ok(
          causes.every((cause) => cause.includes(kind === "blob" ? HEX : `blobs/${HEX.slice(0, 2)}`)),
          JSON.stringify(causes),
        );
        assert.deepEqual(await Array.fromAsync(service.fixity.list()), []);
        const misplaced = await Array.fromAsync(store.misplaced?.() ?? []);
        const path = place.slice(folder.path.length + 1);
        assert.deepEqual(
          misplaced.map(({ path, digest }) => ({ path, digest: digest?.hex })),
          [{ path, digest: kind === "blob" ? HEX : undefined }],
        );
        assert.deepEqual(await folder.staged(), []);
        if (isRemovable) assert.equal((await fetch(service.url + LINK, { method: "DELETE" })).status, 204);
        else await rm(place, { recursive: true });
        assert.deepEqual(await Array.fromAsync(store.misplaced?.() ?? []), []);
        assert.equal((await fetch(service.url + LINK)).status, 404);
        for (const [location, { headers }] of uploads) {
          const end = { ...(headers as Record<string, string>), "upload-offset": String(BYTES.length) };
          const completed = await fetch(new URL(location, service.url), { method: "PATCH", headers: end });
          assert.ok(completed.ok, "an upload that could not be stored is completed by repeating its last request");
        }
        assert.equal(await (await fetch(service.url + LINK)).text(), BYTES);
      } finally {
        await free();
      }
    });
  }
}

describe("without hard links", needing("strace"), () => {
  for (const { name, occupy, kind } of PLACES) {
    test(`${name} in the place of a ${kind} is not overwritten by a rename`, async () => {
      await using folder = await StoreFolder.make();
      await using child = await StoreProcess.start(folder.path, { threads: 1 });
      assert.equal((await child.run({ do: "check" })).code, undefined);
      const small = { size: 1000, seed: 9 } as const;
      const hexes = [digestOf(content(small.size, small.seed)).hex, sha256(UPLOAD_BYTES)];
      const places = hexes.map((hex) => (kind === "blob" ? folder.blob(hex) : folder.fanOut(hex)));
      const frees: (() => unknown)[] = [];
      try {
        for (const place of places) {
          await mkdir(dirname(place), { recursive: true });
          frees.push(await occupy(place));
        }
        const before = await Promise.all(places.map((place) => lstat(place)));
        const id = randomBytes(16).toString("hex");
        for (const step of stepsBefore("commit", id)) assert.equal((await child.run(step)).code, undefined);
        const options = { calls: ["link"], inject: ["link:error=EOPNOTSUPP"] };
        await using _ = await Strace.attach(child.pid, options);
        for (const step of [{ do: "put", ...small } as const, stepOf("commit", id)]) {
          const { code, message } = await child.run(step);
          assert.equal(code, "store-misconfigured", message);
        }
        const after = await Promise.all(places.map((place) => lstat(place)));
        assert.deepEqual(
          after.map(({ ino, mode }) => ({ ino, mode })),
          before.map(({ ino, mode }) => ({ ino, mode })),
        );
        assert.deepEqual(await folder.staged(), []);
      } finally {
        for (const free of frees) await free();
      }
    });
  }
});

test("a loop of links among the folders of blobs does not trap the walks", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  await using service = await Service.start({ store });
  const { digest } = await service.fixity.put([Buffer.from(BYTES)]);
  const own = digest.hex.slice(0, 2);
  const others = ["00", "11", "22", "33"].filter((name) => name !== own);
  await symlink("..", `${folder.blobs}/${others[0]}`);
  await symlink(".", `${folder.blobs}/${others[1]}`);
  await symlink(own, `${folder.blobs}/${others[2]}`);
  await symlink("..", `${folder.blobs}/${own}/${own}`);
  assert.deepEqual(
    (await Array.fromAsync(store.list())).map(({ digest }) => digest.hex),
    [HEX],
  );
  assert.deepEqual(await Array.fromAsync(store.misplaced?.() ?? []), []);
});

test("a dangling link in the place of blobs/ is not taken for an empty store", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  await store.check();
  await rm(folder.blobs, { recursive: true });
  await symlink(`${folder.path}/not-mounted`, folder.blobs);
  await using service = await Service.start({ store });
  for (const init of [{}, { method: "HEAD" }, { method: "PUT", body: BYTES }] as const) {
    assert.equal((await fetch(service.url + LINK, init)).status, 500, JSON.stringify(init));
  }
});

test("many reads of FIFOs do not block the threads", async () => {
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
