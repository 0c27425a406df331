/** Whoever uploads a damaged file again repairs it, by whatever route, also if its size is right. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createClient } from "../../src/client/node.ts";
import { diskStore } from "../../src/disk.ts";
import { Command } from "../helpers/command.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, ROUTES as PLAIN_ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { isWhole, WRONG_BYTES } from "./damaging.ts";
import { request } from "./wire.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const random = new Random();

/** Uploads bytes to a service. */
type Upload = (service: Service, bytes: Buffer<ArrayBuffer>) => Promise<void>;

/** One request that must succeed. */
async function send(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  assert(answer.ok, `${init.method} ${url}: ${answer.status} ${await answer.clone().text()}`);
  return answer;
}

function digestField(bytes: Uint8Array): Record<string, string> {
  return { "Repr-Digest": `sha-256=:${Buffer.from(sha256(bytes), "hex").toString("base64")}:` };
}

const PARTIAL = { "Content-Type": "application/partial-upload" };
const TUS = { "Tus-Resumable": "1.0.0" };

const UPLOADS: Readonly<Record<string, Upload>> = {
  ...Object.fromEntries(
    PLAIN_ROUTES.map((route): [string, Upload] => [
      route,
      async ({ port }, bytes) => assert.notEqual((await uploadBy(route, port, bytes)).link, null),
    ]),
  ),
  "POST with a digest": async ({ url }, body) => {
    await send(`${url}/uploads`, { method: "POST", body, headers: digestField(body) });
  },
  "PUT without a length": async ({ url }, bytes) => {
    const { body } = new Response(bytes);
    const init = { method: "PUT", body, duplex: "half" };
    await send(url + linkTo(bytes), init as RequestInit);
  },
  "PUT to a name": async ({ url }, body) => void (await send(`${url}/uploads/a.bin`, { method: "PUT", body })),
  "tus, in two requests": async ({ url }, bytes) => {
    const headers = { ...TUS, "Upload-Length": String(bytes.length) };
    const at = (await send(`${url}/uploads`, { method: "POST", headers })).headers.get("Location") ?? "";
    const half = Math.floor(bytes.length / 2);
    for (const [from, to] of [
      [0, half],
      [half, bytes.length],
    ] as const) {
      const octets = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) };
      await send(url + at, { method: "PATCH", headers: octets, body: bytes.subarray(from, to) });
    }
  },
  "tus, with its creation": async ({ url }, body) => {
    const headers = { ...TUS, "Upload-Length": String(body.length), "Content-Type": "application/offset+octet-stream" };
    await send(`${url}/uploads`, { method: "POST", headers, body });
  },
  "IETF, in one request": async ({ url }, body) => {
    await send(`${url}/uploads`, { method: "POST", headers: { "Upload-Complete": "?1" }, body });
  },
  "IETF, with a digest": async ({ url }, body) => {
    const headers = { "Upload-Complete": "?1", "Upload-Length": String(body.length), ...digestField(body) };
    await send(`${url}/uploads`, { method: "POST", headers, body });
  },
  "IETF, in two requests": async ({ url }, bytes) => {
    const half = Math.floor(bytes.length / 2);
    const headers = { "Upload-Complete": "?0" };
    const begun = await send(`${url}/uploads`, { method: "POST", headers, body: bytes.subarray(0, half) });
    await send(url + (begun.headers.get("Location") ?? ""), {
      method: "PATCH",
      headers: { ...PARTIAL, "Upload-Offset": String(half), "Upload-Complete": "?1" },
      body: bytes.subarray(half),
    });
  },
  "fixity/client": async ({ url }, bytes) => {
    await createClient({ endpoint: `${url}/uploads` }).upload(new Blob([bytes]), { filename: "a.bin" });
  },
  "fixity put": async ({ url }, bytes) => {
    const path = join(files, "a.bin");
    await writeFile(path, bytes);
    const env = { FIXITY_URL: `${url}/uploads`, HOME: files, XDG_STATE_HOME: files };
    await using command = new Command(["put", path], { env });
    const { code, err } = await command.ended;
    assert.equal(code, 0, err);
  },
};

let files = "";
before(async () => void (files = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(async () => rm(files, { recursive: true, force: true }));

/** Several servers over one folder. */
class Place implements AsyncDisposable {
  readonly folder: StoreFolder;
  readonly #stack = new AsyncDisposableStack();

  constructor(folder: StoreFolder) {
    this.folder = this.#stack.use(folder);
  }

  async serve(): Promise<Service> {
    const store = this.#stack.use(diskStore({ root: this.folder.path, durability: "none", log: () => null }));
    const service = this.#stack.use(await Service.start({ authorize: () => {}, store, log: () => null }));
    this.#stack.defer(() => service.fixity.close());
    return service;
  }

  /** The damaged bytes that were kept of a file. */
  async kept(hex: string): Promise<Buffer[]> {
    const folder = join(this.folder.path, "damaged");
    if (!existsSync(folder)) return [];
    const names = (await readdir(folder)).filter((name) => name.startsWith(hex));
    return Promise.all(names.map((name) => readFile(join(folder, name))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

async function assertServed({ port }: Service, bytes: Buffer): Promise<void> {
  const answer = await request(port, { target: linkTo(bytes) });
  assert.equal(answer.status, 200, answer.content.toString());
  assert(answer.content.equals(bytes));
  const ranged = await request(port, { target: linkTo(bytes), fields: { Range: "bytes=-1" } });
  assert(ranged.content.equals(bytes.subarray(-1)));
}

/** Which server has found the damage before the upload. */
const FINDERS = ["this server", "another server", "nobody"] as const;

const CASES = Object.keys(UPLOADS).flatMap((upload) =>
  [KIB, 300 * KIB, 2 * MIB].flatMap((size) => FINDERS.map((finder) => ({ upload, size, finder }))),
);

describe("a damaged file", () => {
  for (const { upload, size, finder } of someOf(CASES, 16, random)) {
    test(`of ${size / KIB} KiB, found by ${finder}, is repaired by ${upload}`, async () => {
      await using place = new Place(await StoreFolder.make());
      const [service, other] = [await place.serve(), await place.serve()];
      const bytes = Buffer.from(random.bytes(size));
      await service.fixity.put(bytes);
      const path = place.folder.blob(sha256(bytes));
      const damage = random.pick(Object.keys(WRONG_BYTES));
      await WRONG_BYTES[damage]?.(path, size);
      const damaged = await readFile(path);
      if (finder !== "nobody") {
        const finding = finder === "this server" ? service : other;
        await request(finding.port, { target: linkTo(bytes) });
        assert.equal((await request(finding.port, { target: linkTo(bytes) })).status, 500, damage);
      }
      // One that has just listed the marks learns of those of others only seconds later.
      const repairing = finder === "another server" ? await place.serve() : service;
      await UPLOADS[upload]?.(repairing, bytes);
      assert(await isWhole(path, sha256(bytes)), damage);
      for (const reader of [service, other, await place.serve()]) await assertServed(reader, bytes);
      const kept = await place.kept(sha256(bytes));
      const isKept = finder !== "nobody" || damaged.length !== size;
      if (isKept)
        assert(
          kept.some((one) => one.equals(damaged)),
          `what was there is kept: ${damage}`,
        );
    });
  }

  test("is replaced by a PUT that requires that nothing is stored", async () => {
    await using place = new Place(await StoreFolder.make());
    const service = await place.serve();
    for (const size of [KIB, 300 * KIB]) {
      const bytes = Buffer.from(random.bytes(size));
      await service.fixity.put(bytes);
      const put = { method: "PUT", headers: { "If-None-Match": "*" }, body: bytes };
      assert.equal((await fetch(service.url + linkTo(bytes), put)).status, 412);
      await WRONG_BYTES["its last bit flipped"]?.(place.folder.blob(sha256(bytes)), size);
      await request(service.port, { target: linkTo(bytes) });
      assert.equal((await fetch(service.url + linkTo(bytes), put)).status, 201);
      await assertServed(service, bytes);
      assert.equal((await fetch(service.url + linkTo(bytes), put)).status, 412);
    }
  });

  test("is removed by DELETE, and is then absent and not damaged", async () => {
    await using place = new Place(await StoreFolder.make());
    const [service, other] = [await place.serve(), await place.serve()];
    const bytes = Buffer.from(random.bytes(KIB));
    const link = linkTo(bytes);
    await service.fixity.put(bytes);
    await WRONG_BYTES["its last bit flipped"]?.(place.folder.blob(sha256(bytes)), KIB);
    assert.equal((await fetch(service.url + link)).status, 500);
    assert.equal((await fetch(service.url + link, { method: "DELETE" })).status, 204);
    for (const { url } of [service, other]) {
      assert.equal((await fetch(url + link)).status, 404);
      assert.equal((await fetch(url + link, { method: "HEAD" })).status, 404);
    }
    await service.fixity.put(bytes);
    await assertServed(service, bytes);
    await assertServed(other, bytes);
  });

  test("that is read and uploaded at the same time is right or refused, and whole in the end", async () => {
    for (let round = 0; round < (isFullRun ? 20 : 3); round += 1) {
      await using place = new Place(await StoreFolder.make());
      const services = [await place.serve(), await place.serve()];
      const size = random.pick([KIB, 300 * KIB, 2 * MIB]);
      const bytes = Buffer.from(random.bytes(size));
      await services[0]?.fixity.put(bytes);
      const path = place.folder.blob(sha256(bytes));
      const damage = random.pick(Object.keys(WRONG_BYTES));
      await WRONG_BYTES[damage]?.(path, size);
      const service = (index: number): Service => services[index % 2] ?? assert.fail();
      const read = async (index: number): Promise<void> => {
        const answer = await request(service(index).port, { target: linkTo(bytes) });
        if (answer.status === 200 && answer.isComplete) assert(answer.content.equals(bytes), damage);
        else if (answer.status >= 400) assert.equal(answer.status, 500, damage);
      };
      const names = Object.keys(UPLOADS).filter((name) => name !== "fixity put");
      const uploads = Array.from({ length: 8 }, async (_, index) =>
        UPLOADS[random.pick(names)]?.(service(index), bytes),
      );
      const reads = Array.from({ length: 8 }, (_, index) => read(index));
      await Promise.all([...uploads, ...reads]);
      assert(await isWhole(path, sha256(bytes)), damage);
      for (const one of services) await assertServed(one, bytes);
    }
  });
});
