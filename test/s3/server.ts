/** `fixity serve` over a bucket: set up by the environment alone, and told in one line what is wrong. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

export function serverSuite(gateway: Gateway): void {
  describe("the server over a bucket", () => {
    const settings = bucketSettings(gateway);
    /** The disk store's folder: nothing may come into being there. */
    const dir = "/nowhere/data";

    for (const [what, size] of [
      ["a small file", 4 * KIB],
      ["a file of several parts", 20 * MIB + 1],
    ] as const) {
      test(`${what} comes back through its link, from another server too`, async () => {
        await using place = new S3Place(gateway);
        const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix };
        await using first = await ServerProcess.start({ dir, env });
        const bytes = randomBytes(size);
        const form = new FormData();
        form.append("upload", new Blob([bytes]), "photo.png");
        const stored = await fetch(`${first.url}/uploads`, { method: "POST", body: form });
        assert.equal(stored.status, 201, await stored.clone().text());
        const { url } = (await stored.json()) as { url: string };
        assert.equal(url, `/uploads/${createHash("sha256").update(bytes).digest("hex")}.png`);
        await using second = await ServerProcess.start({ dir, env });
        const read = await fetch(second.url + url);
        assert.equal(read.headers.get("content-type"), "image/png");
        assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes);
        const range = await fetch(second.url + url, { headers: { Range: "bytes=1000-1999" } });
        assert.equal(range.status, 206);
        assert.deepEqual(Buffer.from(await range.arrayBuffer()), bytes.subarray(1000, 2000));
        const again = await fetch(second.url + url, { method: "PUT", body: bytes });
        assert.equal(again.status, 200);
        assert.equal(await place.leftovers(), 0);
      });
    }

    test("a file that a command has blocked is neither read nor uploaded, until the block ends", async () => {
      await using place = new S3Place(gateway);
      const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix };
      await using first = await ServerProcess.start({ dir, env });
      const bytes = randomBytes(4 * KIB);
      const stored = await fetch(`${first.url}/uploads`, { method: "POST", body: bytes });
      const { url } = (await stored.json()) as { url: string };
      const blocked = await runCommand(["block", url, "--reason", "a test"], { env });
      assert.equal(blocked.code, 0, blocked.err);
      // it has listed nothing yet
      await using second = await ServerProcess.start({ dir, env });
      const put = { method: "PUT", body: bytes };
      assert.deepEqual(
        [(await fetch(second.url + url)).status, (await fetch(second.url + url, put)).status],
        [451, 451],
      );
      assert.equal((await runCommand(["unblock", url], { env })).code, 0);
      await using third = await ServerProcess.start({ dir, env });
      assert.deepEqual(Buffer.from(await (await fetch(third.url + url)).arrayBuffer()), bytes);
    });

    test("a reader that disconnects in the middle of a large file leaves no connection to the bucket behind", async () => {
      await using place = new S3Place(gateway);
      await using server = await ServerProcess.start({ dir, env: { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix } });
      const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: randomBytes(32 * MIB) });
      const { url } = (await stored.json()) as { url: string };
      const before = await server.openFiles();
      for (let round = 0; round < 10; round += 1) {
        const leaving = new AbortController();
        const read = await fetch(server.url + url, { signal: leaving.signal });
        await read.body?.getReader().read();
        leaving.abort();
      }
      // the connections that the last requests used may still be on their way out
      for (let tries = 0; tries < 100 && (await server.openFiles()) > before + 2; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.ok(
        (await server.openFiles()) <= before + 2,
        `${before} files were open, then ${await server.openFiles()}`,
      );
    });

    const wrong: readonly (readonly [what: string, env: Record<string, string>, line: RegExp])[] = [
      ["a secret key that is another's", { UPLOAD_BUCKET_SECRET_KEY: "other" }, /The secret key does not match/],
      ["an access key that nobody has", { UPLOAD_BUCKET_ACCESS_KEY: "other" }, /The access key is unknown at/],
      ["a bucket that is not there", { UPLOAD_BUCKET_NAME: "not-there" }, /There is no bucket not-there at/],
    ];
    for (const [what, env, line] of wrong) {
      test(`${what} is reported in one line at the start`, async () => {
        const start = ServerProcess.start({ dir, env: { ...settings, ...env } });
        await assert.rejects(start, (error: Error) => {
          assert.match(error.message, line);
          assert.equal(error.message.trimEnd().split("\n").length, 1, error.message);
          return true;
        });
      });
    }

    test("readyz reports that the bucket is unreachable, and that it is back", async () => {
      await using place = new S3Place(gateway);
      await using proxy = await FaultProxy.start(gateway.endpoint);
      const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix, UPLOAD_BUCKET_ENDPOINT: proxy.endpoint };
      await using server = await ServerProcess.start({ dir, env });
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
      proxy.strike({ operation: "ListObjectsV2", fault: "reset-before", times: Infinity });
      assert.equal(await healthOf(server, 503), 503);
      await proxy.reset();
      assert.equal(await healthOf(server, 200), 200);
    });
  });
}

/** Asks until the answer is the one awaited, or long enough. */
async function healthOf({ url }: ServerProcess, awaited: number): Promise<number> {
  let status = 0;
  for (let tries = 0; tries < 40 && status !== awaited; tries += 1) {
    status = (await fetch(`${url}/readyz`)).status;
    if (status !== awaited) await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return status;
}
