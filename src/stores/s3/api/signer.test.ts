import assert from "node:assert/strict";
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { test, type TestContext } from "node:test";
import { SignatureV4 } from "@smithy/signature-v4";
import * as fc from "fast-check";
import {
  EMPTY_PAYLOAD_DIGEST,
  presignValidity,
  queryString,
  sha256Hex,
  type SignableRequest,
  Signer,
  type Validity,
} from "./signer.ts";

/**
 * "Signature Calculations for the Authorization Header" in the S3 API reference: the examples, all
 * of which have this time.
 */
const NOW = Date.parse("2013-05-24T00:00:00Z");
const KEYS = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
const HOST = "examplebucket.s3.amazonaws.com";

interface Example {
  readonly name: string;
  readonly request: Omit<SignableRequest, "host">;
  readonly fields: string;
  readonly signature: string;
}

const EXAMPLES: readonly Example[] = [
  {
    name: "GET Object, with a range",
    request: {
      method: "GET",
      path: "/test.txt",
      query: {},
      headers: { range: "bytes=0-9" },
      payload: EMPTY_PAYLOAD_DIGEST,
    },
    fields: "host;range;x-amz-content-sha256;x-amz-date",
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    name: "GET Bucket Lifecycle, with a parameter without a value",
    request: { method: "GET", path: "/", query: { lifecycle: "" }, headers: {}, payload: EMPTY_PAYLOAD_DIGEST },
    fields: "host;x-amz-content-sha256;x-amz-date",
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    name: "GET Bucket, with two parameters",
    request: {
      method: "GET",
      path: "/",
      query: { prefix: "J", "max-keys": "2" },
      headers: {},
      payload: EMPTY_PAYLOAD_DIGEST,
    },
    fields: "host;x-amz-content-sha256;x-amz-date",
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
];

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

/**
 * A second implementation of the documented signature. Only paths may contain characters that need
 * encoding.
 */
function signatureOf({ method, path, query, headers, payload }: Omit<SignableRequest, "host">): string {
  const own = { host: HOST, "x-amz-content-sha256": payload, "x-amz-date": "20130524T000000Z" };
  const fields = Object.entries({ ...headers, ...own }).sort(byName);
  const parameters = Object.entries(query).sort(byName);
  const canonical = [
    method,
    path,
    parameters.map(([name, value]) => `${name}=${value}`).join("&"),
    ...fields.map(([name, value]) => `${name}:${value}`),
    "",
    fields.map(([name]) => name).join(";"),
    payload,
  ].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  let key: Buffer | string = `AWS4${KEYS.secretAccessKey}`;
  for (const part of ["20130524", "us-east-1", "s3", "aws4_request"])
    key = createHmac("sha256", key).update(part).digest();
  const scope = "20130524/us-east-1/s3/aws4_request";
  return createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n20130524T000000Z\n${scope}\n${hash}`).digest("hex");
}

async function sign(context: TestContext, request: Omit<SignableRequest, "host">, sessionToken?: string) {
  context.mock.timers.enable({ apis: ["Date"], now: NOW });
  const keys = { ...KEYS, ...(sessionToken !== undefined && { sessionToken }) };
  return new Signer(async () => keys, "us-east-1").sign({ ...request, host: HOST });
}

for (const { name, request, fields, signature } of EXAMPLES) {
  test(`AWS's own example is signed as published: ${name}`, async (context) => {
    const headers = await sign(context, request);
    assert.equal(
      headers["authorization"],
      `AWS4-HMAC-SHA256 Credential=${KEYS.accessKeyId}/20130524/us-east-1/s3/aws4_request, ` +
        `SignedHeaders=${fields}, Signature=${signature}`,
    );
    assert.equal(headers["x-amz-date"], "20130524T000000Z");
  });
}

test("a PUT is signed as in AWS's own example, except for the Date field, which fixity omits", async (context) => {
  const payload = sha256Hex([Buffer.from("Welcome to "), Buffer.from("Amazon S3.")]);
  const headers = { "x-amz-storage-class": "REDUCED_REDUNDANCY" };
  const request = { method: "PUT", path: "/test%24file.text", query: {}, headers, payload };
  const date = "Fri, 24 May 2013 00:00:00 GMT";
  assert.equal(
    signatureOf({ ...request, headers: { ...headers, date } }),
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  );
  const signed = await sign(context, request);
  assert.match(signed["authorization"] ?? "", new RegExp(`Signature=${signatureOf(request)}$`));
});

test("the session token of temporary credentials is sent and signed", async (context) => {
  const [example] = EXAMPLES;
  assert(example !== undefined);
  const headers = await sign(context, example.request, "a/session+token==");
  assert.equal(headers["x-amz-security-token"], "a/session+token==");
  assert.match(headers["authorization"] ?? "", /SignedHeaders=[^,]*;x-amz-security-token,/);
});

test("the credentials are requested for each request", async () => {
  const used: string[] = [];
  let number = 0;
  const signer = new Signer(async () => {
    number += 1;
    return { ...KEYS, accessKeyId: `KEY${number}` };
  }, "us-east-1");
  for (let n = 0; n < 3; n += 1) {
    const headers = await signer.sign({
      method: "GET",
      host: HOST,
      path: "/",
      query: {},
      headers: {},
      payload: EMPTY_PAYLOAD_DIGEST,
    });
    used.push(/Credential=(\w+)/.exec(headers["authorization"] ?? "")?.[1] ?? "none");
  }
  assert.equal(new Set(used).size, 3, used.join());
});

test("AWS's own example of a presigned URL is signed as published", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: NOW });
  const signer = new Signer(async () => KEYS, "us-east-1");
  const validity = { from: new Date(NOW), seconds: 86_400, until: new Date(NOW + 86_400_000) };
  const query = await signer.presign(
    { method: "GET", host: HOST, path: "/test.txt", query: {}, headers: {} },
    validity,
  );
  // "Authenticating Requests: Using Query Parameters" in the S3 API reference
  assert.deepEqual(query, {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${KEYS.accessKeyId}/20130524/us-east-1/s3/aws4_request`,
    "X-Amz-Date": "20130524T000000Z",
    "X-Amz-Expires": "86400",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  });
});

test("a presigned URL signs the fields of the response, and the session token", async () => {
  const signatures = new Set<string | undefined>();
  const validity = { from: new Date(NOW), seconds: 300, until: new Date(NOW + 300_000) };
  for (const [sessionToken, type] of [
    [undefined, "image/png"],
    [undefined, "text/html"],
    ["a/session+token==", "image/png"],
  ] as const) {
    const keys = { ...KEYS, ...(sessionToken !== undefined && { sessionToken }) };
    const request = { method: "GET", host: HOST, path: "/a", query: { "response-content-type": type }, headers: {} };
    const query = await new Signer(async () => keys, "us-east-1").presign(request, validity);
    assert.equal(query["response-content-type"], type);
    assert.equal(query["X-Amz-Security-Token"], sessionToken);
    signatures.add(query["X-Amz-Signature"]);
  }
  assert.equal(signatures.size, 3);
});

/** The library that signs for AWS's own SDK. */
function library(sessionToken: string | undefined): SignatureV4 {
  return new SignatureV4({
    credentials: { ...KEYS, ...(sessionToken !== undefined && { sessionToken }) },
    region: "eu-central-1",
    service: "s3",
    sha256: NodeSha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
}

/** SHA-256, with a key or without, in the form that the library expects. */
class NodeSha256 {
  readonly #hash: Hash | Hmac;

  constructor(key?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", key as string | Uint8Array);
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}

const anyText = fc.string({ unit: fc.constantFrom(...Array.from("aZ09-_.~ !'()*&=+/%\\é漢😀\u0007")) });
const query = fc.dictionary(anyText, anyText, { maxKeys: 6, noNullPrototype: true });
const headers = fc.dictionary(
  fc.constantFrom("content-type", "if-match", "if-none-match", "range", "x-amz-acl", "x-amz-copy-source"),
  fc.string({ unit: fc.constantFrom(...Array.from('aZ0 \t-=/;"*')) }),
  { noNullPrototype: true },
);
const segment = fc.stringMatching(/^[a-zA-Z0-9._~-]{1,9}$|^%[0-9A-F]{2}$/);
const parts = {
  method: fc.constantFrom("GET", "HEAD", "PUT", "POST", "DELETE"),
  host: fc.constantFrom("bucket.s3.eu-central-1.amazonaws.com", "127.0.0.1:9000", "[::1]:80"),
  path: fc.array(segment).map((segments) => `/${segments.join("/")}`),
  query,
  headers,
};
const request = fc.record(parts);
const sessionToken = fc.option(fc.base64String({ minLength: 1 }), { nil: undefined });
const moment = fc.date({ min: new Date("2013-01-01"), max: new Date("2099-12-31"), noInvalidDate: true });

function signerWith(sessionToken: string | undefined): Signer {
  return new Signer(async () => ({ ...KEYS, ...(sessionToken !== undefined && { sessionToken }) }), "eu-central-1");
}

test("any request is signed as AWS's own library signs it", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  const payload = fc.constantFrom(EMPTY_PAYLOAD_DIGEST, "UNSIGNED-PAYLOAD");
  const property = fc.asyncProperty(request, payload, sessionToken, moment, async (request, payload, token, now) => {
    context.mock.timers.setTime(now.getTime());
    const own = await signerWith(token).sign({ ...request, payload });
    const headers = { ...request.headers, host: request.host, "x-amz-content-sha256": payload };
    const theirs = await library(token).sign({ ...request, headers, protocol: "https:", hostname: request.host });
    assert.deepEqual(own, theirs.headers);
  });
  await fc.assert(property, { numRuns: 300 });
});

test("any URL is presigned as AWS's own library presigns it", async () => {
  const seconds = fc.integer({ min: 1, max: 604_800 });
  // the library would move x-amz-… fields into the query; the test has none
  const plain = fc.record({
    ...parts,
    headers: fc.constantFrom({}, { range: "bytes=0-9" }, { "if-match": '"a  b" ' }),
  });
  const property = fc.asyncProperty(plain, seconds, sessionToken, moment, async (request, seconds, token, from) => {
    const validity = { from, seconds, until: new Date(from.getTime() + 1000 * seconds) };
    const own = await signerWith(token).presign(request, validity);
    const field = "x-amz-content-sha256";
    const headers = { ...request.headers, host: request.host, [field]: "UNSIGNED-PAYLOAD" };
    const theirs = await library(token).presign(
      { ...request, headers, protocol: "https:", hostname: request.host },
      {
        signingDate: from,
        expiresIn: seconds,
        unhoistableHeaders: new Set([field]),
        unsignableHeaders: new Set([field]),
      },
    );
    assert.deepEqual(own, theirs.query);
  });
  await fc.assert(property, { numRuns: 300 });
});

test("a query can be parsed back, and only unreserved characters are not encoded", () => {
  fc.assert(
    fc.property(query, (query) => {
      const text = queryString(query);
      assert.match(text, /^[A-Za-z0-9\-_.~%=&]*$/);
      const told = text === "" ? [] : text.split("&").map((pair) => pair.split("=").map(decodeURIComponent));
      assert.deepEqual(Object.fromEntries(told), query);
      const names = text.split("&").map((pair) => pair.split("=")[0] ?? "");
      assert.deepEqual(names, [...names].sort());
    }),
  );
});

test("more days than derived keys are kept are signed correctly", async () => {
  const presignOn = async (signer: Signer, day: number) => {
    const from = new Date(NOW + day * 86_400_000);
    const request = { method: "GET", host: HOST, path: "/a", query: {}, headers: {} };
    return signer.presign(request, { from, seconds: 60 });
  };
  const signer = signerWith(undefined);
  for (let turn = 0; turn < 2; turn += 1) {
    for (let day = 0; day < 20; day += 1) {
      assert.deepEqual(await presignOn(signer, day), await presignOn(signerWith(undefined), day));
    }
  }
});

/** A moment at which no interval of half a lifetime begins. */
const MID_INTERVAL = Date.parse("2026-11-23T08:34:56.789Z");

function at(context: TestContext, now: number): void {
  context.mock.timers.reset();
  context.mock.timers.enable({ apis: ["Date"], now });
}

/** Seconds from now until the end. */
function left({ until }: Validity): number {
  return (until.getTime() - Date.now()) / 1000;
}

for (const lifetime of [1, 2, 3, 60, 300, 604_800]) {
  test(`a URL for ${lifetime} s is valid for at most that long, and at least half of it`, (context) => {
    for (let n = 0; n < 50; n += 1) {
      at(context, MID_INTERVAL + n * 137_911);
      const validity = presignValidity(lifetime);
      assert.ok(validity.from.getTime() <= Date.now());
      assert.ok(validity.seconds <= lifetime);
      assert.ok(left(validity) > Math.floor(lifetime / 2) - (lifetime === 1 ? 0 : 1) && left(validity) <= lifetime);
      assert.equal(validity.until.getTime(), validity.from.getTime() + validity.seconds * 1000);
    }
  });
}

test("within half the lifetime, every instance gets the same validity", (context) => {
  at(context, Date.parse("2026-11-23T08:32:30Z"));
  const first = presignValidity(300);
  at(context, Date.parse("2026-11-23T08:34:59.999Z"));
  assert.deepEqual(presignValidity(300), first);
  at(context, Date.parse("2026-11-23T08:35:00Z"));
  assert.notDeepEqual(presignValidity(300), first);
});

test("a URL does not outlive the credentials", (context) => {
  at(context, MID_INTERVAL);
  const end = MID_INTERVAL + 100_500;
  const { until } = presignValidity(300, new Date(end));
  assert.equal(until.getTime(), Math.floor(end / 1000) * 1000);
  assert.deepEqual(presignValidity(300, new Date(MID_INTERVAL + 3_600_000)), presignValidity(300));
});

test("expired credentials sign no URL", (context) => {
  at(context, MID_INTERVAL);
  for (const end of [MID_INTERVAL - 1000, MID_INTERVAL]) {
    assert.throws(() => presignValidity(300, new Date(end)), { code: "store-misconfigured" });
  }
});

test("a lifetime that S3 does not accept is refused", () => {
  for (const lifetime of [0, -1, 1.5, 604_801, Number.NaN, Infinity]) {
    assert.throws(() => presignValidity(lifetime), { code: "invalid-option" }, String(lifetime));
  }
});
