/** The client against a server over a bucket: bad connections, proxies with limits, dying servers, and another one in their place. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { type ClientOptions, createClient } from "../../src/client/node.ts";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { LimitingProxy } from "../helpers/limiting-proxy.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { stored } from "../helpers/stored.ts";
import { reaching } from "../helpers/reaching.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
const RETRY = { minDelay: 1, maxDelay: 100, attempts: 100 };

export function clientSuite(gateway: Gateway): void {
  const serverAt = (place: S3Place, env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> => {
    const settings = { ...bucketSettings(gateway), UPLOAD_BUCKET_PREFIX: place.prefix };
    return ServerProcess.start({ dir: "/nowhere/data", env: { ...settings, ...env } });
  };

  describe("the client and a server over a bucket", () => {
    for (const [what, size] of [
      ["a small file", 4000],
      ["a file in parts", 20 * MIB + 1],
    ] as const) {
      test(`${what} is stored, found again, and read`, async () => {
        await using place = new S3Place(gateway);
        await using server = await serverAt(place);
        const client = clientOf(server);
        const bytes = randomBytes(size);
        const first = await client.upload(bytes, { filename: "film.mp4" });
        assert.deepEqual([first.digest, first.existed], [`sha256:${sha256(bytes)}`, false]);
        const { stream } = await client.download(first.url);
        assert.ok(Buffer.concat(await Array.fromAsync(stream)).equals(bytes));
        const again = await client.upload(bytes, { declare: first.digest });
        assert.deepEqual([again.digest, again.existed], [first.digest, true]);
        if (size > MIB) assert.equal(again.sent, 0);
        assert.equal(await place.leftovers(), 0);
      });
    }

    test("connections that break again and again", async () => {
      await using place = new S3Place(gateway);
      await using server = await serverAt(place);
      await using proxy = await BreakingProxy.start(server.port, 5 * MIB);
      const bytes = randomBytes(18 * MIB);
      const { digest, url } = await clientOf(proxy).upload(bytes);
      assert.equal(digest, `sha256:${sha256(bytes)}`);
      assert.equal(await stored(url.replace(proxy.url, server.url)), sha256(bytes));
      assert.ok(proxy.broken >= 3, `${proxy.broken}`);
    });

    test("parts shrink until a proxy lets them through, smaller than any part of S3's", async () => {
      await using place = new S3Place(gateway);
      await using server = await serverAt(place);
      await using proxy = await LimitingProxy.start({ port: server.port, limit: MIB });
      const bytes = randomBytes(20 * MIB + 1);
      assert.equal((await clientOf(proxy).upload(bytes)).digest, `sha256:${sha256(bytes)}`);
      assert.equal(Math.max(...proxy.passed), MIB);
      assert.equal(await stored(`${server.url}/uploads/${sha256(bytes)}`), sha256(bytes));
    });

    test("where the server takes no parts as small as a proxy wants them, that is an error, and not an endless loop", async () => {
      await using place = new S3Place(gateway);
      await using server = await serverAt(place, { UPLOAD_MIN_APPEND_SIZE: "5MiB" });
      const bytes = randomBytes(12 * MIB);
      await using proxy = await LimitingProxy.start({ port: server.port, limit: MIB });
      await assert.rejects(clientOf(proxy).upload(bytes), { code: "unexpected-answer", status: 413 });
      assert.equal(Math.min(...proxy.refused), 5 * MIB);
      assert.equal((await clientOf(server).upload(bytes)).digest, `sha256:${sha256(bytes)}`);
    });

    const ports = ["another", ...(isFullRun ? ["the same"] : [])] as const;
    for (const port of ports) {
      test(`a server that is killed in the middle, and ${port} one in its place`, async () => {
        await using place = new S3Place(gateway);
        await using first = await serverAt(place);
        await using second = port === "another" ? await serverAt(place) : null;
        const { reached, onProgress } = reaching(20 * MIB);
        const bytes = randomBytes(32 * MIB);
        // behind one address, as a balancer has it
        let address = first.url;
        const balanced: typeof fetch = (url, init) => fetch((url as string).replace(first.url, address), init);
        const client = clientOf(first, { fetch: balanced, retry: { ...RETRY, attempts: 500 } });
        const uploaded = client.upload(bytes, { onProgress });
        await reached;
        await first.stop("SIGKILL");
        await using again = second === null ? await serverAt(place, { PORT: String(first.port) }) : null;
        address = (second ?? again ?? first).url;
        const { digest, sent } = await uploaded;
        assert.equal(digest, `sha256:${sha256(bytes)}`);
        assert.equal(await stored(`${address}/uploads/${sha256(bytes)}`), sha256(bytes));
        // what had been saved was not sent again
        assert.ok(sent < 2 * bytes.length, `${sent}`);
      });
    }
  });
}

function clientOf({ url }: { readonly url: string }, options: Partial<ClientOptions> = {}) {
  return createClient({ endpoint: `${url}/uploads`, retry: RETRY, ...options });
}
