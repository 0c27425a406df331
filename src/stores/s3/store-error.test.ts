import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { failure, type ScriptedAnswer, xml } from "../../../test/s3/scripted-bucket.ts";
import { ScriptedServer, type Step } from "../../../test/s3/scripted-server.ts";
import { type ErrorCode, FixityError } from "../../core/errors.ts";
import { checkBucket } from "./store-error.ts";
import type { S3Client } from "./api/client.ts";
import type { S3StoreOptions } from "./options.ts";
import { S3Error } from "./api/s3-error.ts";

/** The code and message of a failed check; `place` stands for the server's address. */
async function checkOutcome(step: Step, options: Partial<S3StoreOptions> = {}): Promise<readonly [ErrorCode, string]> {
  await using server = await ScriptedServer.start();
  server.always("ListObjectsV2", step);
  return await checkOutcomeOf(server.client({ attempts: 1, ...options }), server.place);
}

async function checkOutcomeOf(client: S3Client, place: string): Promise<readonly [ErrorCode, string]> {
  try {
    await checkBucket(client, "blobs/", undefined);
  } catch (error) {
    assert(error instanceof FixityError, String(error));
    assert(error.cause instanceof S3Error, "the cause is kept for the log");
    assert(!error.message.includes("\n"));
    return [error.code, error.message.replaceAll(place, "place")];
  } finally {
    await client.destroy();
  }
  return assert.fail("the check succeeded");
}

const region = "<Region>eu-west-1</Region>";
const regionField = (answer: ScriptedAnswer): ScriptedAnswer => ({
  ...answer,
  headers: { "x-amz-bucket-region": "eu-west-1" },
});

const MISCONFIGURED: Readonly<Record<string, ScriptedAnswer>> = {
  "The credentials are valid, but may not list the bucket scripted: grant them s3:ListBucket.": failure(
    403,
    "AccessDenied",
  ),
  "The region is wrong: it is eu-west-1.": failure(400, "AuthorizationHeaderMalformed", region),
  "The region is wrong.": failure(400, "AuthorizationHeaderMalformed"),
  "The temporary credentials for S3 have expired.": failure(400, "ExpiredToken"),
  "The access key is unknown at place.": failure(403, "InvalidAccessKeyId"),
  "The session token of the temporary credentials is wrong.": failure(400, "InvalidToken"),
  "There is no bucket scripted at place.": failure(404, "NoSuchBucket"),
  "The bucket scripted is in another region: it is eu-west-1.": regionField(failure(301, "PermanentRedirect")),
  "The bucket scripted is in another region.": failure(301, "PermanentRedirect"),
  "The clocks of this machine and of place differ by more than 15 minutes.": failure(403, "RequestTimeTooSkewed"),
  "The secret key does not match the access key.": failure(403, "SignatureDoesNotMatch"),
  "The credentials are not accepted at place.": { status: 403, body: "<html>Forbidden</html>" },
  "The bucket is in another region: it is eu-west-1.": regionField({ status: 301 }),
  "The bucket is in another region.": failure(307, "TemporaryRedirect"),
  "The bucket cannot be listed: place responds with MethodNotAllowed.": failure(405, "MethodNotAllowed"),
  "The server at place does not speak S3.": { status: 200, body: "<html>It works!</html>" },
};

const UNAVAILABLE: Readonly<Record<string, Step>> = {
  "place is not working properly at the moment.": failure(503, "SlowDown"),
  "place cannot be reached.": "close",
  "place does not respond.": "silence",
};

void describe("the check of a bucket", () => {
  for (const [message, answer] of Object.entries(MISCONFIGURED)) {
    test(`states: ${message}`, async () => {
      assert.deepEqual(await checkOutcome(answer), ["store-misconfigured", message]);
    });
  }

  for (const [message, step] of Object.entries(UNAVAILABLE)) {
    test(`states: ${message}`, async () => {
      assert.deepEqual(await checkOutcome(step, { timeouts: { answer: 100 } }), ["store-unavailable", message]);
    });
  }

  for (const [what, answer, message] of [
    ["404 of something else", { status: 404, body: "404 page not found" }, "The server at place does not speak S3."],
    ["401 of something else", { status: 401, body: "log in" }, "The credentials are not accepted at place."],
    ["an empty response", { status: 200 }, "The server at place does not speak S3."],
    ["an error with status 200", failure(200, "InternalError"), "place is not working properly at the moment."],
    [
      "502 of a proxy",
      { status: 502, body: "<html>Bad Gateway</html>" },
      "place is not working properly at the moment.",
    ],
    ["an unknown code", failure(400, "Strange"), "The bucket cannot be listed: place responds with Strange."],
  ] as const) {
    test(`explains ${what}`, async () => {
      assert.equal((await checkOutcome(answer))[1], message);
    });
  }

  test("accepts an empty bucket, with one request", async () => {
    await using server = await ScriptedServer.start();
    server.once("ListObjectsV2", xml("ListBucketResult", "<IsTruncated>false</IsTruncated>"));
    const client = server.client();
    await checkBucket(client, "blobs/", undefined);
    await client.destroy();
    assert.deepEqual(server.operations, ["ListObjectsV2"]);
    assert.equal(server.seen[0]?.query.get("prefix"), "blobs/");
  });

  test("ends with the reason of an aborted signal", async () => {
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

void describe("the check of an address without an S3 server", () => {
  test("states that nothing listens", async () => {
    const { endpoint, place, options } = await nobody();
    assert.deepEqual(
      await checkOutcomeOf(options, place),
      ["store-unavailable", "Nothing listens at place."],
      endpoint,
    );
  });

  test("states that the server does not speak TLS", async () => {
    await using server = await ScriptedServer.start();
    const client = server.client({ attempts: 1, endpoint: `https://${server.place}` });
    const [code, message] = await checkOutcomeOf(client, server.place);
    assert.equal(code, "store-unavailable");
    assert.match(message, /^place does not speak TLS \(\w+\): should its address begin with http:\/\/\?$/);
  });

  // Tests must not look up names on the network, or wait for connections that never come about.
  for (const [code, message] of [
    ["ENOTFOUND", "There is no host place."],
    ["EAI_AGAIN", "The host name place cannot be looked up at the moment."],
    ["UND_ERR_CONNECT_TIMEOUT", "The connection to place timed out."],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "The certificate of place is not accepted (DEPTH_ZERO_SELF_SIGNED_CERT)."],
    ["CERT_HAS_EXPIRED", "The certificate of place is not accepted (CERT_HAS_EXPIRED)."],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "The certificate of place is not accepted (ERR_TLS_CERT_ALTNAME_INVALID)."],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "The certificate of place is not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)."],
    ["EHOSTUNREACH", "place cannot be reached."],
  ] as const) {
    test(`states, for ${code}: ${message} The place is the host that was tried, bucket included`, async () => {
      const cause = new Error("outer", { cause: Object.assign(new Error("inner"), { code }) });
      const client = {
        bucket: "b",
        endpoint: { address: "somewhere.example", host: "b.somewhere.example" },
        call: async () => {
          throw new S3Error({ operation: "ListObjectsV2", status: null, cause });
        },
        destroy: async () => undefined,
      };
      const outcome = await checkOutcomeOf(client as unknown as S3Client, "b.somewhere.example");
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
