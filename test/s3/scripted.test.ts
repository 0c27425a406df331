/** Responses of AWS and other providers that the server of the other S3 tests does not send. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { type ErrorCode, FixityError } from "../../src/core/errors.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { assertAbsent, content, digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { failure, type ScriptedAnswer, xml } from "./scripted-bucket.ts";
import { ScriptedServer, type Step } from "./scripted-server.ts";

const MIB = 1024 * 1024;
/** Two parts. */
const LARGE = 5 * MIB + 1000;
const SMALL = content(1000);
const BIG = content(LARGE, 7);

async function upload(store: BlobStore, bytes: Uint8Array, hints: StageOptions = {}): Promise<boolean> {
  await using staged = await store.stage(hints);
  await writeAll(staged, bytes);
  return (await staged.commit(digestOf(bytes))).existed;
}

async function assertReadable(store: BlobStore, bytes: Uint8Array): Promise<void> {
  await using reader = await store.open(digestOf(bytes));
  assert(reader !== null && (await readAll(reader)).equals(bytes), "an acknowledged blob can be read");
}

/** A predicate for `assert.rejects`. */
function fails(code: ErrorCode): (error: unknown) => true {
  return (error) => {
    assert(error instanceof FixityError, String(error));
    assert.equal(error.code, code);
    return true;
  };
}

/** A scripted server with a store over it. */
async function scripted(work: (server: ScriptedServer, store: BlobStore) => Promise<void>): Promise<void> {
  await using server = await ScriptedServer.start();
  await using store = server.store();
  await work(server, store);
}

const announced = (bytes: Uint8Array): StageOptions => ({ digest: digestOf(bytes), length: bytes.length });
const count = (server: ScriptedServer, operation: string): number =>
  server.operations.filter((seen) => seen === operation).length;

/** A response after a long completion, during which S3 sends white space to keep the connection open. */
function afterWhiteSpace({ body = "", ...answer }: ScriptedAnswer): ScriptedAnswer {
  return { ...answer, body: String(body).replace("\n", `\n${" \n".repeat(2_000)}`), status: 200 };
}

void describe("completions", () => {
  const errors: readonly (readonly [what: string, answer: ScriptedAnswer])[] = [
    ["an error in a 200", { ...failure(200, "InternalError") }],
    ["an error in a 200 after much white space", afterWhiteSpace(failure(200, "InternalError"))],
    ["an empty 200", { status: 200 }],
    ["409 ConditionalRequestConflict", failure(409, "ConditionalRequestConflict")],
    ["503 SlowDown", failure(503, "SlowDown")],
  ];
  for (const [what, answer] of errors) {
    for (const hints of [announced(BIG), {}]) {
      const way = hints.digest === undefined ? "to a staging key" : "at the final key";
      test(`${what} to a completion ${way}: it is repeated, whether it was carried out or not`, () =>
        scripted(async (server, store) => {
          for (const step of [answer, { done: answer }] satisfies Step[]) {
            server.once("CompleteMultipartUpload", step);
            await upload(store, BIG, hints);
            await assertReadable(store, BIG);
            await store.remove(digestOf(BIG));
          }
          assert.deepEqual([...server.bucket.objects.keys()], [], "no staging object is left");
          assert.equal(server.bucket.uploads.size, 0);
        }));
    }
  }

  test("white space before a result is ignored", () =>
    scripted(async (server, store) => {
      server.once("CompleteMultipartUpload", {
        done: afterWhiteSpace(xml("CompleteMultipartUploadResult", "<ETag/>")),
      });
      server.once("CopyObject", { done: afterWhiteSpace(xml("CopyObjectResult", "<ETag>x</ETag>")) });
      await upload(store, BIG);
      await assertReadable(store, BIG);
      assert.equal(count(server, "CompleteMultipartUpload") + count(server, "CopyObject"), 2);
    }));

  test("the code of an error after much white space is recognized", () =>
    scripted(async (server, store) => {
      server.always("CopyObject", afterWhiteSpace(failure(200, "SlowDown")));
      await assert.rejects(upload(store, BIG), fails("store-busy"));
    }));

  test("a completion that is answered with NoSuchUpload has succeeded only if the object exists", () =>
    scripted(async (server, store) => {
      server.once("CompleteMultipartUpload", { done: "close" });
      await upload(store, BIG, announced(BIG));
      await assertReadable(store, BIG);

      const other = content(LARGE, 8);
      server.always("CompleteMultipartUpload", failure(404, "NoSuchUpload"));
      await assert.rejects(upload(store, other, announced(other)), fails("store-unavailable"));
      server.once("CompleteMultipartUpload", "close", failure(404, "NoSuchUpload"));
      await assert.rejects(upload(store, other, announced(other)), fails("store-unavailable"));
      await assertAbsent(store, digestOf(other));
    }));

  test("an object of another size is not mistaken for that of an unanswered completion", () =>
    scripted(async (server, store) => {
      const key = `blobs/${digestOf(BIG).hex}`;
      server.bucket.answer({
        operation: "PutObject",
        key,
        headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
        length: 5,
        query: new URLSearchParams(),
        content: Buffer.from("stale"),
      });
      server.once("CompleteMultipartUpload", "close", failure(404, "NoSuchUpload"));
      await assert.rejects(upload(store, BIG, announced(BIG)), fails("store-unavailable"));
    }));

  for (const status of [408, 504, 509, 520, 522, 524, 530, 598]) {
    test(`${status} of a proxy leaves open whether a completion is still running: no abort is sent`, () =>
      scripted(async (server, store) => {
        server.always("CompleteMultipartUpload", { status, body: "<html>error</html>" });
        await assert.rejects(upload(store, BIG, announced(BIG)), fails("store-unavailable"));
        assert.equal(count(server, "AbortMultipartUpload"), 0);
        server.once("CompleteMultipartUpload", { done: { status } });
        await upload(store, BIG, announced(BIG));
      }));
  }

  test("a refused completion is followed by an abort", () =>
    scripted(async (server, store) => {
      server.always("CompleteMultipartUpload", failure(400, "InvalidPart"));
      await assert.rejects(upload(store, BIG), fails("store-unavailable"));
      assert.equal(server.bucket.uploads.size, 0);
    }));

  test("a completion survives a connection that closes after it was carried out", () =>
    scripted(async (server, store) => {
      server.once("CompleteMultipartUpload", { done: "close" });
      await upload(store, BIG);
      await assertReadable(store, BIG);
      assert.deepEqual([...server.bucket.objects.keys()], [`blobs/${digestOf(BIG).hex}`]);
    }));
});

void describe("copies", () => {
  /** Copies of more than a byte are made in parts. */
  const IN_PARTS = {
    copyLimits: {
      wholeUpTo: 1,
      wholeUntried: 1,
      wholeAtMost: 10 * MIB,
      partSize: 5 * MIB,
      maxParts: 100,
      concurrency: 2,
    },
  };

  const refusals: readonly (readonly [what: string, answer: ScriptedAnswer])[] = [
    ["501 NotImplemented", failure(501, "NotImplemented")],
    ["400 InvalidArgument", failure(400, "InvalidArgument")],
    ["405 MethodNotAllowed", failure(405, "MethodNotAllowed")],
    // the server ignores x-amz-copy-source, and stores an empty part
    ["200 without a result", { status: 200, headers: { etag: '"d41d8cd98f00b204e9800998ecf8427e"' } }],
  ];
  for (const [what, answer] of refusals) {
    test(`a provider that cannot copy parts (${what}) copies the whole object`, async () => {
      await using server = await ScriptedServer.start();
      await using store = server.store({}, IN_PARTS);
      server.always("UploadPartCopy", answer);
      await upload(store, BIG);
      await assertReadable(store, BIG);
      assert.deepEqual([...server.bucket.objects.keys()], [`blobs/${digestOf(BIG).hex}`]);
      assert.equal(server.bucket.uploads.size, 0);
    });
  }

  test("if parts cannot be copied, a file that is too large for a single copy is refused with size-limit-exceeded", async () => {
    await using server = await ScriptedServer.start();
    const copyLimits = { ...IN_PARTS.copyLimits, wholeAtMost: LARGE - 1 };
    await using store = server.store({}, { copyLimits });
    server.always("UploadPartCopy", failure(501, "NotImplemented"));
    await assert.rejects(upload(store, BIG), (error: unknown) => {
      fails("size-limit-exceeded")(error);
      assert.match((error as Error).message, /only if their digest is announced/);
      return true;
    });
    assert.equal(server.bucket.objects.size, 0, "the staging object is removed");
    assert.equal(server.bucket.uploads.size, 0);
    await upload(store, BIG, announced(BIG));
    await assertReadable(store, BIG);
  });

  test("if copying parts is forbidden, no other copy is attempted", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({}, IN_PARTS);
    server.always("UploadPartCopy", failure(403, "AccessDenied"));
    await assert.rejects(upload(store, BIG), fails("store-misconfigured"));
    assert.equal(count(server, "CopyObject"), 0);
  });

  test("a copy with an error in a 200 is repeated", () =>
    scripted(async (server, store) => {
      server.once("CopyObject", failure(200, "InternalError"), { status: 200 });
      await upload(store, BIG);
      await assertReadable(store, BIG);
      assert.equal(count(server, "CopyObject"), 3);
    }));
});

void describe("conditions", () => {
  test("409 ConditionalRequestConflict: the PUT is repeated", () =>
    scripted(async (server, store) => {
      server.once("PutObject", failure(409, "ConditionalRequestConflict"));
      assert.equal(await upload(store, SMALL), false);
      await assertReadable(store, SMALL);
      assert.equal(count(server, "PutObject"), 2);
    }));

  const lasting = [
    failure(412, "PreconditionFailed"),
    failure(409, "ConditionalRequestConflict"),
    { status: 409 },
    failure(400, "InvalidArgument"),
    failure(400, "InvalidRequest"),
    { status: 405 },
  ];
  for (const answer of lasting) {
    const name = `${answer.status} ${/<Code>(\w+)/.exec(String(answer.body))?.[1] ?? "without a code"}`;
    test(`a provider that answers ${name} to every condition: small and large files are stored, and the condition is soon omitted`, async () => {
      await using server = await ScriptedServer.start();
      const log: string[] = [];
      await using store = server.store({ log: (message) => log.push(message) });
      const isConditional = ({ headers }: { readonly headers: Readonly<Record<string, unknown>> }) =>
        headers["if-none-match"] !== undefined || headers["if-match"] !== undefined;
      for (const operation of ["PutObject", "CompleteMultipartUpload", "CopyObject"]) {
        server.always(operation, (request) => (isConditional(request) ? answer : null));
      }
      for (let n = 0; n < 4; n += 1) {
        assert.equal(await upload(store, content(100, n)), false);
        assert.equal(await upload(store, content(100, n)), true, "a stored blob is found");
      }
      await upload(store, BIG);
      await assertReadable(store, BIG);
      server.seen.length = 0;
      await upload(store, content(100, 9));
      assert.deepEqual(server.seen.filter(isConditional), []);
      assert.equal(log.filter((line) => line.includes("refuses If-None-Match")).length, 1, log.join("\n"));
      assert.match(log.join("\n"), /the bucket scripted at 127\.0\.0\.1/);
    });
  }

  test("a refusal of the bytes does not make the store omit the condition", () =>
    scripted(async (server, store) => {
      server.once("PutObject", failure(400, "XAmzContentSHA256Mismatch"));
      await assert.rejects(upload(store, SMALL), fails("store-unavailable"));
      await upload(store, SMALL);
      assert.equal(server.seen.filter(({ headers }) => headers["if-none-match"] === "*").length, 2);
    }));

  for (const answer of [failure(501, "NotImplemented"), { status: 501 }, failure(400, "NotImplemented")]) {
    test(`after a provider has refused the condition (${answer.status}), it is omitted`, () =>
      scripted(async (server, store) => {
        server.always("PutObject", ({ headers }) => (headers["if-none-match"] === undefined ? null : answer));
        assert.equal(await upload(store, SMALL), false);
        await assertReadable(store, SMALL);
        assert.equal(await upload(store, SMALL), true, "a stored blob is found without the condition");
        await upload(store, content(10));
        const conditional = server.seen.filter(({ headers }) => headers["if-none-match"] !== undefined);
        assert.equal(conditional.length, 1);
      }));
  }

  test("a provider that ignores the condition replaces a blob with the same bytes", () =>
    scripted(async (server, store) => {
      server.always("PutObject", (request) => {
        const { "if-none-match": _, ...headers } = request.headers;
        return server.bucket.answer({ ...request, headers });
      });
      await upload(store, SMALL);
      await upload(store, SMALL);
      await assertReadable(store, SMALL);
    }));

  test("a 412 does not prove that the blob exists", () =>
    scripted(async (server, store) => {
      server.once("PutObject", failure(412, "PreconditionFailed"));
      assert.equal(await upload(store, SMALL), false);
      await assertReadable(store, SMALL);
    }));
});

void describe("a bucket with object lock and a default retention", () => {
  const words = [
    [
      "InvalidRequest",
      "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
    ],
    ["InvalidRequest", "Missing required header for this request: Content-Md5."],
    ["MissingContentMD5", ""],
  ] as const;
  for (const [code, message] of words) {
    test(`that requires Content-MD5 (${code} ${message}) receives it with everything that is stored`, () =>
      scripted(async (server, store) => {
        const refused = failure(400, code);
        const body = String(refused.body).replace("As scripted.", message);
        for (const operation of ["PutObject", "UploadPart"]) {
          server.always(operation, ({ headers, content: sent }) => {
            const md5 = headers["content-md5"];
            if (md5 === undefined) return { ...refused, body };
            return md5 === createHash("md5").update(sent).digest("base64") ? null : failure(400, "BadDigest");
          });
        }
        await upload(store, SMALL);
        await upload(store, BIG);
        await upload(store, content(LARGE, 9), announced(content(LARGE, 9)));
        await assertReadable(store, SMALL);
        await assertReadable(store, BIG);
        const refusedOnce = server.seen.filter(
          ({ operation, headers }) =>
            ["PutObject", "UploadPart"].includes(operation) && headers["content-md5"] === undefined,
        );
        assert.equal(refusedOnce.length, 1, "one refusal suffices");
      }));
  }

  test("is not retried for ever if it also refuses Content-MD5", () =>
    scripted(async (server, store) => {
      const refused = failure(400, "InvalidRequest");
      const body = String(refused.body).replace("As scripted.", "Content-MD5 is wrong");
      server.always("PutObject", { ...refused, body });
      await assert.rejects(upload(store, SMALL), fails("store-unavailable"));
      assert(count(server, "PutObject") <= 4);
    }));
});

void describe("entity tags", () => {
  const bare = (request: Parameters<ScriptedServer["bucket"]["answer"]>[0], server: ScriptedServer): Step => {
    const { headers = {}, body = "", status } = server.bucket.answer(request);
    const tag = headers["etag"]?.replaceAll('"', "");
    return {
      status,
      headers: { ...headers, ...(tag !== undefined && { etag: tag }) },
      body: Buffer.isBuffer(body) ? body : body.replaceAll("&quot;", ""),
    };
  };

  test("tags without quotation marks are accepted", () =>
    scripted(async (server, store) => {
      for (const operation of ["PutObject", "UploadPart", "HeadObject", "GetObject", "CopyObject"]) {
        server.always(operation, (request) => bare(request, server));
      }
      await upload(store, SMALL);
      await upload(store, BIG);
      await assertReadable(store, BIG);
      const completion = server.seen.find(({ operation }) => operation === "CompleteMultipartUpload");
      assert.match(String(completion?.content), /<ETag>&quot;[0-9a-f]{32}&quot;<\/ETag>/);
    }));

  for (const headers of [{}, { etag: "" }, { etag: '""' }]) {
    test(`a part without a tag (${JSON.stringify(headers)}) cannot be completed, and is not acknowledged`, () =>
      scripted(async (server, store) => {
        server.always("UploadPart", { done: { status: 200, headers } });
        await assert.rejects(upload(store, BIG), fails("store-unavailable"));
        await assertAbsent(store, digestOf(BIG));
        assert.equal(server.bucket.uploads.size, 0);
      }));
  }
});

void describe("regions", () => {
  const moved = failure(301, "PermanentRedirect", "<Endpoint>scripted.s3.eu-west-1.amazonaws.com</Endpoint>");
  const elsewhere = { ...moved, headers: { ...moved.headers, "x-amz-bucket-region": "eu-west-1" } };

  test("a bucket in another region is reported as such, for every method", () =>
    scripted(async (server, store) => {
      for (const operation of ["ListObjectsV2", "HeadObject", "GetObject", "PutObject", "CreateMultipartUpload"]) {
        server.always(operation, elsewhere);
      }
      await assert.rejects(store.check(), /The bucket scripted is in another region: it is eu-west-1\./);
      for (const call of [
        store.stat(digestOf(SMALL)),
        store.open(digestOf(SMALL)),
        store.remove(digestOf(SMALL)),
        upload(store, SMALL),
        upload(store, BIG),
      ]) {
        await assert.rejects(call, fails("store-misconfigured"));
      }
      const asked = new Set(server.seen.map(({ headers }) => headers.host));
      assert.deepEqual(asked, new Set([server.place]), "no redirect is followed");
    }));

  test("307 for a new bucket, whose name has not propagated yet, is temporary", () =>
    scripted(async (server, store) => {
      server.always("HeadObject", { status: 307, headers: { location: "http://127.0.0.1:9/" } });
      await assert.rejects(store.stat(digestOf(SMALL)), fails("store-unavailable"));
    }));
});

void describe("connections", () => {
  test("uploads work with a server that closes every connection after its response without announcing it", () =>
    scripted(async (server, store) => {
      const closing = (request: Parameters<ScriptedServer["bucket"]["answer"]>[0]): Step => {
        const answer = server.bucket.answer(request);
        setImmediate(() => server.closeConnections());
        return answer;
      };
      for (const operation of ["PutObject", "UploadPart", "HeadObject", "CompleteMultipartUpload"]) {
        server.always(operation, closing);
      }
      for (let n = 0; n < 10; n += 1) await upload(store, content(100, n));
      await upload(store, BIG);
      await assertReadable(store, BIG);
    }));

  test("uploads survive a connection that closes without a response, once for each operation", () =>
    scripted(async (server, store) => {
      for (const operation of ["CreateMultipartUpload", "UploadPart", "HeadObject", "CopyObject", "DeleteObject"]) {
        server.once(operation, "close");
      }
      await upload(store, BIG);
      await assertReadable(store, BIG);
    }));
});

void describe("listings", () => {
  test("a listing whose next page repeats the last one fails", () =>
    scripted(async (server, store) => {
      const page = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>";
      server.always("ListObjectsV2", xml("ListBucketResult", page));
      await assert.rejects(async () => {
        for await (const stat of store.list()) assert.fail(stat.digest.hex);
      }, fails("store-unavailable"));
      assert(server.seen.length <= 3);
    }));

  test("a continuation token is returned unchanged, whatever its characters", () =>
    scripted(async (server, store) => {
      const token = `1/+=&amp;amp;&#34;?ü%20'()*`;
      const page = `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`;
      server.once("ListObjectsV2", xml("ListBucketResult", page));
      await upload(store, SMALL);
      const found = [];
      for await (const stat of store.list()) found.push(stat.digest.hex);
      assert.deepEqual(found, [digestOf(SMALL).hex]);
      assert.equal(server.seen.at(-1)?.query.get("continuation-token"), `1/+=&amp;"?ü%20'()*`);
    }));

  test("a truncated page without a continuation token is an error", () =>
    scripted(async (server, store) => {
      server.always("ListObjectsV2", xml("ListBucketResult", "<IsTruncated>true</IsTruncated>"));
      await assert.rejects(async () => {
        for await (const stat of store.list()) assert.fail(stat.digest.hex);
      }, fails("store-unavailable"));
    }));
});
