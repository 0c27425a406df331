import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { failure, type ScriptedAnswer } from "../../../../test/s3/scripted-bucket.ts";
import { KEYS, ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { FixityError } from "../../../core/errors.ts";
import { content, digestOf, writeAll } from "../../contract/tools.ts";
import { entityTag, errorResponse, expectRoot, expectTag, rejectErrorDocument, S3Error } from "./s3-error.ts";
import type { S3Response } from "./transport.ts";

const TOKEN = "a/scripted+session/token==";
const SECRETS = [KEYS.accessKey, KEYS.secretKey, TOKEN];
const MIB = 1024 * 1024;

/** Everything that a log might contain of an error. */
function written(error: unknown): string {
  const chain: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) chain.push(at.message, at.stack ?? "", inspect(at));
  return [inspect(error, { depth: Infinity, showHidden: true }), JSON.stringify(error), ...chain].join("\n");
}

function assertNothingSecret(text: string, what: string): void {
  for (const secret of SECRETS) {
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]) {
      assert(!text.includes(form), `${what} tells ${form}`);
    }
  }
  assert.doesNotMatch(text, /Signature=[0-9a-f]{16}/, what);
}

const plainIn = (status: number, text: string): ScriptedAnswer => ({ status, body: text });

test("whatever a provider repeats of a request, no credentials and no signature reach an error or the log", async () => {
  await using server = await ScriptedServer.start();
  const logged: unknown[] = [];
  const log = (message: string, error?: unknown) => logged.push(message, error);
  await using store = server.store({ sessionToken: TOKEN, attempts: 1, timeouts: { answer: 200 }, log });
  const echoes: readonly ((echo: string) => ScriptedAnswer | "close" | "silence")[] = [
    (echo) => failure(403, "SignatureDoesNotMatch", `<StringToSign>${echo}</StringToSign>`),
    (echo) => ({ status: 400, body: `<Error><Code>Bad</Code><Message>${echo}</Message></Error>` }),
    (echo) => ({ status: 400, body: `<Error><Code>${echo}</Code><Message>x</Message></Error>` }),
    (echo) => ({ status: 400, body: `<Error><Code>Bad</Code><RequestId>${echo}</RequestId></Error>` }),
    (echo) => ({ status: 301, body: `<Error><Code>PermanentRedirect</Code><Region>${echo}</Region></Error>` }),
    (echo) => ({ status: 200, body: `<Error><Code>${echo}</Code></Error>` }),
    (echo) => ({ status: 500, headers: { "x-amz-request-id": echo.replaceAll("\n", " ") } }),
    (echo) => plainIn(502, `<html>${echo}</html>`),
    (echo) => plainIn(200, echo),
    () => "close",
    () => "silence",
  ];
  const operations = ["HeadObject", "PutObject", "ListObjectsV2", "CreateMultipartUpload", "UploadPart", "GetObject"];
  const upload = async (size: number) => {
    await using staged = await store.stage();
    await writeAll(staged, content(size));
    await staged.commit(digestOf(content(size)));
  };
  for (const [index, echoing] of echoes.entries()) {
    for (const operation of [...operations, "AbortMultipartUpload"]) {
      server.always(operation, ({ headers }) =>
        echoing(`GET\n${Object.entries({ ...headers, secret: KEYS.secretKey }).join("\n")}`),
      );
    }
    const calls = [
      () => upload(10),
      () => store.check(),
      () => store.stat(digestOf(content(1))),
      () => store.collect(),
    ];
    if (index < 3) calls.push(() => upload(6 * MIB));
    for (const [number, call] of calls.entries()) {
      const error = await call().then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (error === null) continue;
      assert(error instanceof FixityError, written(error));
      assertNothingSecret(written(error), `call ${number} under echo ${index}`);
      assert.doesNotMatch(error.message, /\n/);
    }
  }
  assertNothingSecret(logged.map(written).join("\n"), "the log");
  assertNothingSecret(store.description, "the description");
});

const said = (text: string, headers: Readonly<Record<string, string>> = {}, status = 400) =>
  errorResponse("PutObject", { status, header: (name) => headers[name] ?? null, text }, (text) => text);

test("a provider's texts are bounded and free of control characters", () => {
  const long = "x".repeat(1_000_000);
  for (const text of [
    `<Error><Code>${long}</Code><Message>${long}</Message><RequestId>${long}</RequestId><Region>${long}</Region></Error>`,
    `<Error><Code>two\nlines</Code><Message>\u001B[31mred\nlines\u0000</Message><RequestId>a b</RequestId></Error>`,
  ]) {
    const error = said(text);
    assert(error.message.length < 600, String(error.message.length));
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(error.message, /[\u0000-\u001F]/);
    assert.equal(error.code, null);
    assert.equal(error.requestId, null);
    assert.equal(error.region, null);
  }
});

test("code, message, request id and region are read", () => {
  const error = said(
    "<Error><Code>NoSuchBucket</Code><Message>Not here.</Message><RequestId>4442587FB7D0A2F9</RequestId><Region>eu-west-1</Region></Error>",
    {},
    404,
  );
  assert.equal(error.message, "PutObject failed: 404 NoSuchBucket: Not here. (request 4442587FB7D0A2F9)");
  assert.deepEqual([error.code, error.region], ["NoSuchBucket", "eu-west-1"]);
  const bare = said("<html/>", { "x-amz-request-id": "tx0-1-default", "x-amz-bucket-region": "eu-west-2" });
  assert.equal(bare.message, "PutObject failed: 400 (request tx0-1-default)");
  assert.deepEqual([bare.code, bare.region], [null, "eu-west-2"]);
});

test("Retry-After is read in seconds and as a date", (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-11-23T08:00:00Z") });
  for (const [value, pause] of [
    ["0", 0],
    ["120", 120_000],
    ["Mon, 23 Nov 2026 08:00:30 GMT", 30_000],
    ["Mon, 23 Nov 2026 07:00:00 GMT", 0],
    ["soon", null],
    ["", null],
    ["-5", null],
    ["1.5", null],
    ["9999999999", null],
  ] as const) {
    assert.equal(said("", { "retry-after": value }, 503).retryAfter, pause, value);
  }
  assert.equal(said("", {}, 503).retryAfter, null);
});

function responseOf(text: string, fields: Readonly<Record<string, string>> = {}): S3Response {
  return { status: 200, header: (name) => fields[name] ?? null, text };
}

function failing(code: string | null): (error: unknown) => true {
  return (error) => {
    assert(error instanceof S3Error, String(error));
    assert.equal(error.code, code);
    assert.equal(error.isRefusal, false, "status 200 leaves open what was done");
    return true;
  };
}

test("an <Error> with status 200 is found wherever it begins, and whatever its namespace", () => {
  const error = "<Error><Code>InternalError</Code></Error>";
  for (const text of [
    error,
    `<?xml version="1.0" encoding="UTF-8"?>\n${error}`,
    `\uFEFF${error}`,
    `<?xml version="1.0"?>${" ".repeat(100_000)}${error}`,
    `${"\r\n".repeat(100_000)}<?xml version="1.0"?>${error}`,
    '<Error xmlns="urn:x"><Code>InternalError</Code></Error>',
    '<s:Error xmlns:s="urn:x"><s:Code>InternalError</s:Code></s:Error>',
  ]) {
    assert.throws(() => rejectErrorDocument("X", responseOf(text)), failing("InternalError"), text.trim().slice(0, 60));
  }
});

test("a document that only mentions errors is accepted", () => {
  for (const text of [
    "",
    "<ListBucketResult><Key>&lt;Error&gt;</Key></ListBucketResult>",
    "<ErrorDocument/>",
    "<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
  ]) {
    assert.doesNotThrow(() => rejectErrorDocument("X", responseOf(text)), text);
  }
});

test("a response with another root element, or a truncated one, is a failure", () => {
  assert.equal(expectRoot("X", responseOf("<R><A>1</A></R>"), "R").text("A"), "1");
  for (const text of ["", "<S/>", "<R><A>1</A>", "<R", "OK", "<html><R/></html>"]) {
    assert.throws(() => expectRoot("X", responseOf(text), "R"), failing(null), text);
  }
});

test("entity tags get quotation marks if they came without", () => {
  assert.equal(entityTag('"abc"'), '"abc"');
  assert.equal(entityTag("abc"), '"abc"');
  assert.equal(entityTag('"abc-2"'), '"abc-2"');
  for (const none of [null, "", '""']) assert.equal(entityTag(none), null);
  assert.equal(expectTag("X", responseOf("", { etag: "abc" })), '"abc"');
  assert.throws(() => expectTag("X", responseOf("", { etag: '""' })), failing(null));
});
