import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KEYS, ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { FixityError } from "../../../core/errors.ts";
import { content, digestOf } from "../../contract/tools.ts";
import { credentialSource } from "./signer.ts";
import { resolveS3Options } from "../options.ts";
import { S3Store } from "../s3-store.ts";

const MINUTE = 60_000;

/**
 * Serves temporary credentials like a container's agent ("Container credential provider" in the SDK
 * reference guide).
 */
const agent = createServer((_, answer) => {
  asked += 1;
  answer.writeHead(isBroken ? 500 : 200, { "content-type": "application/json" });
  answer.end(
    JSON.stringify({
      AccessKeyId: `ASIATEMPORARY${asked}`,
      SecretAccessKey: "temporary-secret-key",
      Token: "temporary-token",
      Expiration: new Date(Date.now() + lifetime).toISOString(),
    }),
  );
});
let asked = 0;
let lifetime = 60 * MINUTE;
let isBroken = false;
let home: string;

before(async () => {
  await new Promise<void>((resolve) => {
    agent.listen(0, "127.0.0.1", resolve);
  });
  home = await mkdtemp(join(tmpdir(), "fixity-test-"));
  // This test file has its process to itself. The machine's own credentials must not be found.
  for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
  Object.assign(process.env, {
    HOME: home,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${(agent.address() as AddressInfo).port}/keys`,
  });
});

after(async () => {
  agent.closeAllConnections();
  agent.close();
  await rm(home, { recursive: true, force: true });
});

/**
 * Runs `work` with a store that uses the chain, and with the access keys that its requests were
 * signed with.
 */
async function chained(work: (stat: () => Promise<unknown>, used: () => readonly string[]) => Promise<void>) {
  await using server = await ScriptedServer.start();
  const options = { bucket: "scripted", endpoint: server.endpoint, attempts: 1, log: () => null };
  await using store = new S3Store(resolveS3Options(options));
  const used = () =>
    server.seen.map(({ headers }) => /Credential=(\w+)/.exec(String(headers.authorization))?.[1] ?? "");
  asked = 0;
  await work(async () => store.stat(digestOf(content(1))), used);
}

test("configured credentials are used as they are, and the chain is not asked", async () => {
  asked = 0;
  const keys = { accessKeyId: KEYS.accessKey, secretAccessKey: KEYS.secretKey };
  assert.equal(await credentialSource(keys)(), keys);
  assert.equal(asked, 0);
});

test("credentials with a long lifetime are fetched once, for any number of concurrent requests", async () => {
  lifetime = 60 * MINUTE;
  await chained(async (stat, used) => {
    await Promise.all(Array.from({ length: 20 }, stat));
    await stat();
    assert.deepEqual(new Set(used()), new Set(["ASIATEMPORARY1"]));
    assert.equal(asked, 1);
  });
});

test("credentials are renewed some minutes before they expire, while requests use the old ones", async () => {
  lifetime = 4 * MINUTE;
  await chained(async (stat, used) => {
    do await stat();
    while (used().at(-1) === "ASIATEMPORARY1");
    assert.equal(used()[0], "ASIATEMPORARY1");
    assert.notEqual(used().at(-1), "ASIATEMPORARY1");
  });
});

test("expired credentials are not used", async () => {
  lifetime = -MINUTE;
  await chained(async (stat, used) => {
    for (let n = 0; n < 3; n += 1) await stat();
    assert.equal(new Set(used()).size, 3, used().join());
  });
});

test("an agent that fails while credentials are valid fails no request", async () => {
  await chained(async (stat, used) => {
    lifetime = 4 * MINUTE;
    await stat();
    isBroken = true;
    try {
      for (let n = 0; n < 5; n += 1) await stat();
      assert.deepEqual(new Set(used()), new Set(["ASIATEMPORARY1"]));
    } finally {
      isBroken = false;
    }
  });
});

test("a request without credentials is not sent, and fails as a misconfiguration", async () => {
  await chained(async (stat, used) => {
    isBroken = true;
    try {
      await assert.rejects(stat(), (error) => {
        assert(error instanceof FixityError && error.code === "store-misconfigured");
        return true;
      });
      assert.deepEqual(used(), []);
    } finally {
      isBroken = false;
    }
  });
});

test("a presigned URL contains the session token of temporary credentials, and does not outlive them", async () => {
  lifetime = 10 * MINUTE;
  const options = { bucket: "scripted", endpoint: "http://127.0.0.1:9", log: () => null };
  await using store = new S3Store(resolveS3Options(options));
  const presigning = { lifetime: 3600, responseFields: { contentType: "image/png" } };
  const { url, expires } = await store.presign(digestOf(content(1)), presigning);
  const { searchParams } = new URL(url);
  assert.equal(searchParams.get("X-Amz-Security-Token"), "temporary-token");
  assert(Number(searchParams.get("X-Amz-Expires")) < 3600);
  assert(expires.getTime() <= Date.now() + lifetime && expires.getTime() > Date.now());
});
