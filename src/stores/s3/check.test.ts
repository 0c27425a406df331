import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { failure, type ScriptedAnswer, xml } from "../../../test/s3/scripted-bucket.ts";
import { ScriptedServer, type Step } from "../../../test/s3/scripted-server.ts";
import { type ErrorCode, FixityError } from "../../core/errors.ts";
import { checkBucket } from "./check.ts";
import type { S3Client } from "./api/client.ts";
import type { S3StoreOptions } from "./options.ts";
import { S3Error } from "./api/s3-error.ts";

/** What the check says; `place` stands for the server's. */
async function told(step: Step, options: Partial<S3StoreOptions> = {}): Promise<readonly [ErrorCode, string]> {
  await using server = await ScriptedServer.start();
  server.always("ListObjectsV2", step);
  return await toldBy(server.client({ attempts: 1, ...options }), server.place);
}

async function toldBy(client: S3Client, place: string): Promise<readonly [ErrorCode, string]> {
  try {
    await checkBucket(client, "blobs/", undefined);
  } catch (error) {
    assert(error instanceof FixityError, String(error));
    assert(error.cause instanceof S3Error, "the failure itself is kept for the log");
    assert(!error.message.includes("\n"));
    return [error.code, error.message.replaceAll(place, "place")];
  } finally {
    await client.destroy();
  }
  return assert.fail("there was nothing to tell");
}

const region = "<Region>eu-west-1</Region>";
const regionField = (answer: ScriptedAnswer): ScriptedAnswer => ({
  ...answer,
  headers: { "x-amz-bucket-region": "eu-west-1" },
});

const MISCONFIGURED: Readonly<Record<string, ScriptedAnswer>> = {
  "The keys are known, but may not list the bucket scripted: give them s3:ListBucket.": failure(403, "AccessDenied"),
  "The region is wrong: it is eu-west-1.": failure(400, "AuthorizationHeaderMalformed", region),
  "The region is wrong.": failure(400, "AuthorizationHeaderMalformed"),
  "The temporary keys for S3 have run out.": failure(400, "ExpiredToken"),
  "The access key is not known at place.": failure(403, "InvalidAccessKeyId"),
  "The session token of the temporary keys is wrong.": failure(400, "InvalidToken"),
  "There is no bucket scripted at place.": failure(404, "NoSuchBucket"),
  "The bucket scripted is in another region: it is eu-west-1.": regionField(failure(301, "PermanentRedirect")),
  "The bucket scripted is in another region.": failure(301, "PermanentRedirect"),
  "The clocks of this machine and of place are more than 15 minutes apart.": failure(403, "RequestTimeTooSkewed"),
  "The secret key does not belong to the access key.": failure(403, "SignatureDoesNotMatch"),
  "The keys are not accepted at place.": { status: 403, body: "<html>Forbidden</html>" },
  "The bucket is in another region: it is eu-west-1.": regionField({ status: 301 }),
  "The bucket is in another region.": failure(307, "TemporaryRedirect"),
  "The bucket cannot be listed at place, which says MethodNotAllowed.": failure(405, "MethodNotAllowed"),
  "What answers at place does not speak S3.": { status: 200, body: "<html>It works!</html>" },
};

const UNAVAILABLE: Readonly<Record<string, Step>> = {
  "place does not answer as it should now.": failure(503, "SlowDown"),
  "place cannot be reached.": "close",
  "place does not answer.": "silence",
};

void describe("the check of a bucket", () => {
  for (const [message, answer] of Object.entries(MISCONFIGURED)) {
    test(`says: ${message}`, async () => {
      assert.deepEqual(await told(answer), ["store-misconfigured", message]);
    });
  }

  for (const [message, step] of Object.entries(UNAVAILABLE)) {
    test(`says: ${message}`, async () => {
      assert.deepEqual(await told(step, { timeouts: { answer: 100 } }), ["store-unavailable", message]);
    });
  }

  for (const [what, answer, message] of [
    ["404 of something else", { status: 404, body: "404 page not found" }, "What answers at place does not speak S3."],
    ["401 of something else", { status: 401, body: "log in" }, "The keys are not accepted at place."],
    ["an empty answer", { status: 200 }, "What answers at place does not speak S3."],
    ["an error under 200", failure(200, "InternalError"), "place does not answer as it should now."],
    ["502 of a proxy", { status: 502, body: "<html>Bad Gateway</html>" }, "place does not answer as it should now."],
    ["a code that nobody knows", failure(400, "Strange"), "The bucket cannot be listed at place, which says Strange."],
  ] as const) {
    test(`says what is wrong with ${what}`, async () => {
      assert.equal((await told(answer))[1], message);
    });
  }

  test("finds nothing wrong with an empty bucket, by one request", async () => {
    await using server = await ScriptedServer.start();
    server.once("ListObjectsV2", xml("ListBucketResult", "<IsTruncated>false</IsTruncated>"));
    const client = server.client();
    await checkBucket(client, "blobs/", undefined);
    await client.destroy();
    assert.deepEqual(server.operations, ["ListObjectsV2"]);
    assert.equal(server.seen[0]?.query.get("prefix"), "blobs/");
  });

  test("ends when its signal is aborted, with the signal's own reason", async () => {
    await using server = await ScriptedServer.start();
    server.always("ListObjectsV2", "silence");
    const leaving = new AbortController();
    const reason = new Error("stopped");
    const client = server.client();
    const check = checkBucket(client, "", leaving.signal);
    setImmediate(() => leaving.abort(reason));
    await assert.rejects(check, (error) => error === reason);
    await client.destroy();
  });
});

void describe("the check of a place that is not there", () => {
  test("says that nothing listens", async () => {
    const { endpoint, place, options } = await nobody();
    assert.deepEqual(await toldBy(options, place), ["store-unavailable", "Nothing listens at place."], endpoint);
  });

  test("says that TLS is not spoken where it is not", async () => {
    await using server = await ScriptedServer.start();
    const client = server.client({ attempts: 1, endpoint: `https://${server.place}` });
    const [code, message] = await toldBy(client, server.place);
    assert.equal(code, "store-unavailable");
    assert.match(message, /^place does not speak TLS \(\w+\): is its address one with http:\/\/\?$/);
  });

  // No test may look up names on the network, or wait for connections into the void.
  for (const [code, message] of [
    ["ENOTFOUND", "There is no host place."],
    ["EAI_AGAIN", "The name of place cannot be looked up now."],
    ["UND_ERR_CONNECT_TIMEOUT", "No connection to place comes about."],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "The certificate of place is not accepted (DEPTH_ZERO_SELF_SIGNED_CERT)."],
    ["CERT_HAS_EXPIRED", "The certificate of place is not accepted (CERT_HAS_EXPIRED)."],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "The certificate of place is not accepted (ERR_TLS_CERT_ALTNAME_INVALID)."],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "The certificate of place is not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)."],
    ["EHOSTUNREACH", "place cannot be reached."],
  ] as const) {
    test(`says, for ${code}: ${message} The place is the host that was tried, with the bucket`, async () => {
      const cause = new Error("outer", { cause: Object.assign(new Error("inner"), { code }) });
      const client = {
        bucket: "b",
        endpoint: { place: "somewhere.example", host: "b.somewhere.example" },
        call: async () => {
          throw new S3Error({ operation: "ListObjectsV2", status: null, cause });
        },
        destroy: async () => undefined,
      };
      const outcome = await toldBy(client as unknown as S3Client, "b.somewhere.example");
      assert.deepEqual(outcome, ["store-unavailable", message]);
    });
  }
});

/** A client of a port on which nothing listens. */
async function nobody() {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => {
    server.close(resolve);
  });
  const place = `127.0.0.1:${port}`;
  await using scripted = await ScriptedServer.start();
  return { place, endpoint: place, options: scripted.client({ attempts: 1, endpoint: `http://${place}` }) };
}
