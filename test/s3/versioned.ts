/** Buckets that keep versions or lock objects: Ceph meets no `If-Match` there, and everything has to work all the same. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { Upload } from "tus-js-client";
import { createClient } from "../../src/client/node.ts";
import type { RuleContext } from "../../src/stores/contract/contract-place.ts";
import { DOCUMENT_RULES } from "../../src/stores/contract/document-rules.ts";
import { digestOf, keep } from "../../src/stores/contract/tools.ts";
import { append, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { UploadId } from "../../src/core/upload-id.ts";
import { S3Client } from "../../src/stores/s3/api/client.ts";
import { resolveS3Options } from "../../src/stores/s3/options.ts";
import { payloadOf } from "../../src/stores/s3/api/signer.ts";
import { runCommand } from "../helpers/command.ts";
import { someOf } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { stored } from "../helpers/stored.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;

/** Makes a bucket of its own for a kind. */
async function makeBucket(gateway: Gateway, kind: "versioned" | "locked"): Promise<Gateway> {
  const bucket = `fixity-${kind}-${randomBytes(4).toString("hex")}`;
  const options = resolveS3Options({ ...gateway, bucket, log: () => null });
  const client = new S3Client(options);
  try {
    const lock: Record<string, string> = kind === "locked" ? { "x-amz-bucket-object-lock-enabled": "true" } : {};
    await client.call({ operation: "CreateBucket", method: "PUT", key: null, headers: lock }, () => null);
    if (kind === "versioned") await configure("versioning", "<Status>Enabled</Status>", "VersioningConfiguration");
    else {
      const retention = "<DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention>";
      const content = `<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>${retention}</Rule>`;
      await configure("object-lock", content, "ObjectLockConfiguration");
    }
    return { ...gateway, bucket };
  } finally {
    await client.destroy();
  }

  async function configure(what: string, content: string, root: string): Promise<void> {
    const bytes = Buffer.from(`<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`);
    const body = payloadOf(bytes);
    await client.call({ operation: "Configure", method: "PUT", key: null, query: { [what]: "" }, body }, () => null);
  }
}

/** The lifecycle rules that docs/s3.md gives, as the server reads them: they are valid, and kept. */
async function keepsRulesOfDocs(bucket: Gateway): Promise<void> {
  const docs = await readFile(new URL("../../docs/s3.md", import.meta.url), "utf8");
  const [, json = ""] = /```json\n(\{\n {2}"Rules".*?)```/s.exec(docs) ?? [];
  const { Rules } = JSON.parse(json) as { Rules: readonly object[] };
  const content = Rules.map((rule) => `<Rule>${elements(rule)}</Rule>`).join("");
  const bytes = Buffer.from(`<LifecycleConfiguration>${content}</LifecycleConfiguration>`);
  const client = new S3Client(resolveS3Options({ ...bucket, log: () => null }));
  const common = { operation: "Lifecycle", key: null, query: { lifecycle: "" } };
  try {
    const md5 = createHash("md5").update(bytes).digest("base64");
    const body = payloadOf(bytes);
    await client.call({ ...common, method: "PUT", headers: { "content-md5": md5 }, body }, () => null);
    const kept = await client.call({ ...common, method: "GET" }, ({ text }) => text);
    for (const rule of Rules) assert.match(kept, new RegExp(`<ID>${(rule as { ID: string }).ID}</ID>`));
    for (const name of ["NoncurrentDays", "ExpiredObjectDeleteMarker", "DaysAfterInitiation"]) {
      assert.match(kept, new RegExp(`<${name}>`), name);
    }
  } finally {
    await client.destroy();
  }
}

function elements(value: object): string {
  return Object.entries(value)
    .map(
      ([name, content]) =>
        `<${name}>${typeof content === "object" ? elements(content as object) : String(content)}</${name}>`,
    )
    .join("");
}

export function versionedSuite(gateway: Gateway): void {
  for (const kind of ["versioned", "locked"] as const) {
    // Only the tests' own server is thrown away with its buckets.
    const ours = gateway.collectGarbage === null ? { skip: "leaves buckets behind" } : {};
    describe(`a ${kind} bucket`, ours, () => {
      test("takes files by form, PUT, client, tus and command, small and large, and gives them back", async () => {
        const own = await makeBucket(gateway, kind);
        const env = bucketSettings(own);
        await using server = await ServerProcess.start({ dir: "/nowhere/data", env });
        const sizes = [1000, 3 * MIB, 12 * MIB + 1];
        const cases = sizes.flatMap((size) => [byForm, byPut, byClient, byTus].map((send) => ({ size, send })));
        for (const { size, send } of someOf(cases, 2)) {
          const bytes = randomBytes(size);
          await send(server.url, bytes);
          const link = `${server.url}/uploads/${sha256(bytes)}`;
          assert.equal(await stored(link), sha256(bytes), `${send.name}, ${size} bytes`);
        }
        const { code, out } = await runCommand(["doctor"], { env });
        assert.equal(code, 0, out);
        assert.match(out, /warn .*Of two concurrent changes to an object.*\n.*It is always refused/);
        assert.match(
          out,
          /note .*A removed object leaves no version behind.*\n.*\n[^]*?"Versioned\s+buckets" in docs\/s3\.md/,
        );
      });

      test("takes the lifecycle rules of docs/s3.md", async () => keepsRulesOfDocs(await makeBucket(gateway, kind)));

      test("lets another process continue an upload, and fences off the first, with a warning", async () => {
        const own = await makeBucket(gateway, kind);
        await using place = new S3Place(own);
        const log: string[] = [];
        const options = { log: (message: string) => log.push(message) };
        await using one = place.store(options);
        await using other = place.store(options);
        const bytes = randomBytes(11 * MIB);
        const id = UploadId.random();
        await uploadsOf(one).create(id, "begun", { length: bytes.length });
        await append(uploadsOf(one), id, { bytes: bytes.subarray(0, 6 * MIB) });
        const former = await take(uploadsOf(one), id);
        await former.write(Buffer.from(bytes.subarray(6 * MIB, 7 * MIB)));
        await append(uploadsOf(other), id, { bytes: bytes.subarray(6 * MIB) });
        await assert.rejects(former.save("late"), { code: "upload-superseded" });
        await former[Symbol.asyncDispose]();
        const held = await take(uploadsOf(other), id);
        assert.equal(held.offset, bytes.length);
        await held.commit(digestOf(bytes));
        await held.remove();
        await held[Symbol.asyncDispose]();
        assert.equal((await other.stat(digestOf(bytes)))?.size, bytes.length);
        assert.match(log.join("\n"), new RegExp(`the bucket ${own.bucket} at .* refuses every If-Match`));
        assert.equal(await place.leftovers(), 0);
      });

      test("keeps documents, but not their conditions, which isConditional reports", async () => {
        const own = await makeBucket(gateway, kind);
        for (const rule of someOf(DOCUMENT_RULES, 3)) {
          await using place = new S3Place(own);
          await using store = place.store({}, { abandonedAfter: -Infinity });
          const documents = store.documents ?? assert.fail();
          // What the rules for documents use of a context.
          const context = { store, documents, another: async () => place.store() };
          await rule.run(context as unknown as RuleContext);
        }
        await using place = new S3Place(own);
        const log: string[] = [];
        await using store = place.store({ log: (message) => log.push(message) });
        const documents = store.documents ?? assert.fail();
        const ifMatch = (await documents.write("marks/one", "first", { ifAbsent: true })) ?? assert.fail();
        assert.equal(await documents.write("marks/one", "again", { ifAbsent: true }), null);
        assert.notEqual(await documents.write("marks/one", "second", { ifMatch }), null);
        assert.equal(documents.isConditional, false);
        assert.equal(await documents.remove("marks/one", ifMatch), false);
        // Ceph applies both conditions to the new version, which never exists.
        assert.match(log.join("\n"), /ignores If-None-Match[^]*refuses every If-Match/);
      });

      test("tells copies of a blob apart by their versions", async () => {
        await using place = new S3Place(await makeBucket(gateway, kind));
        await using store = place.store();
        const bytes = randomBytes(1000);
        const identity = async () => {
          await using reader = (await store.open(digestOf(bytes))) ?? assert.fail();
          assert.equal((await store.stat(digestOf(bytes)))?.identity, reader.identity);
          return reader.identity ?? assert.fail();
        };
        await keep(store, bytes);
        const first = await identity();
        assert.match(first, /^version /);
        await store.remove(digestOf(bytes));
        await keep(store, bytes);
        assert.notEqual(await identity(), first);
      });
    });
  }
}

async function byForm(url: string, bytes: Buffer): Promise<void> {
  const form = new FormData();
  form.append("upload", new Blob([new Uint8Array(bytes)]), "a.bin");
  const answer = await fetch(`${url}/uploads`, { method: "POST", body: form });
  assert.equal(answer.status, 201, await answer.text());
}

async function byPut(url: string, bytes: Buffer): Promise<void> {
  const answer = await fetch(`${url}/uploads/${sha256(bytes)}`, { method: "PUT", body: new Uint8Array(bytes) });
  assert.equal(answer.status, 201, await answer.text());
}

async function byClient(url: string, bytes: Buffer): Promise<void> {
  const client = createClient({ endpoint: `${url}/uploads`, retry: { attempts: 0 } });
  assert.equal((await client.upload(new Uint8Array(bytes))).digest, `sha256:${sha256(bytes)}`);
}

async function byTus(url: string, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const options = { endpoint: `${url}/uploads`, chunkSize: 5 * MIB, retryDelays: null };
  new Upload(bytes, { ...options, onSuccess: () => resolve(), onError: reject }).start();
  await promise;
}
