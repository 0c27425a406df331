import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test, type TestContext } from "node:test";
import { NO_PAYLOAD, sha256Hex, type Signable, Signer } from "./signer.ts";

/** "Signature Calculations for the Authorization Header" in the S3 API reference: examples, all of this moment. */
const NOW = Date.parse("2013-05-24T00:00:00Z");
const KEYS = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
const HOST = "examplebucket.s3.amazonaws.com";

interface Example {
  readonly name: string;
  readonly request: Omit<Signable, "host">;
  readonly fields: string;
  readonly signature: string;
}

const EMPTY = { "x-amz-content-sha256": NO_PAYLOAD };

const EXAMPLES: readonly Example[] = [
  {
    name: "GET Object, with a range",
    request: { method: "GET", path: "/test.txt", query: {}, headers: { ...EMPTY, range: "bytes=0-9" } },
    fields: "host;range;x-amz-content-sha256;x-amz-date",
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    name: "GET Bucket Lifecycle, with a parameter without a value",
    request: { method: "GET", path: "/", query: { lifecycle: "" }, headers: EMPTY },
    fields: "host;x-amz-content-sha256;x-amz-date",
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    name: "GET Bucket, with two parameters",
    request: { method: "GET", path: "/", query: { prefix: "J", "max-keys": "2" }, headers: EMPTY },
    fields: "host;x-amz-content-sha256;x-amz-date",
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
];

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

/** What is signed as the documentation tells it, once more and in another way. Values must need no encoding but in the path. */
function signatureOf({ method, path, query, headers }: Omit<Signable, "host">): string {
  const fields = Object.entries({ ...headers, host: HOST, "x-amz-date": "20130524T000000Z" }).sort(byName);
  const parameters = Object.entries(query).sort(byName);
  const canonical = [
    method,
    path,
    parameters.map(([name, value]) => `${name}=${value}`).join("&"),
    ...fields.map(([name, value]) => `${name}:${value}`),
    "",
    fields.map(([name]) => name).join(";"),
    headers["x-amz-content-sha256"],
  ].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  let key: Buffer | string = `AWS4${KEYS.secretAccessKey}`;
  for (const part of ["20130524", "us-east-1", "s3", "aws4_request"])
    key = createHmac("sha256", key).update(part).digest();
  const scope = "20130524/us-east-1/s3/aws4_request";
  return createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n20130524T000000Z\n${scope}\n${hash}`).digest("hex");
}

async function sign(context: TestContext, request: Omit<Signable, "host">, sessionToken?: string) {
  context.mock.timers.enable({ apis: ["Date"], now: NOW });
  const keys = { ...KEYS, ...(sessionToken !== undefined && { sessionToken }) };
  return new Signer(async () => keys, "us-east-1", true).sign({ ...request, host: HOST });
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

test("a PUT is signed as AWS's own example, but for the Date, which is left out", async (context) => {
  const digest = sha256Hex([Buffer.from("Welcome to "), Buffer.from("Amazon S3.")]);
  const headers = { "x-amz-content-sha256": digest, "x-amz-storage-class": "REDUCED_REDUNDANCY" };
  const request = { method: "PUT", path: "/test%24file.text", query: {}, headers };
  const date = "Fri, 24 May 2013 00:00:00 GMT";
  assert.equal(
    signatureOf({ ...request, headers: { ...headers, date } }),
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  );
  const signed = await sign(context, request);
  assert.match(signed["authorization"] ?? "", new RegExp(`Signature=${signatureOf(request)}$`));
});

test("the token of temporary keys is sent and signed", async (context) => {
  const [example] = EXAMPLES;
  assert(example !== undefined);
  const headers = await sign(context, example.request, "a/session+token==");
  assert.equal(headers["x-amz-security-token"], "a/session+token==");
  assert.match(headers["authorization"] ?? "", /SignedHeaders=[^,]*;x-amz-security-token,/);
});

test("keys are asked for at every request", async () => {
  const used: string[] = [];
  let number = 0;
  const signer = new Signer(
    async () => {
      number += 1;
      return { ...KEYS, accessKeyId: `KEY${number}` };
    },
    "us-east-1",
    true,
  );
  for (let n = 0; n < 3; n += 1) {
    const headers = await signer.sign({ method: "GET", host: HOST, path: "/", query: {}, headers: EMPTY });
    used.push(/Credential=(\w+)/.exec(headers["authorization"] ?? "")?.[1] ?? "none");
  }
  assert.equal(new Set(used).size, 3, used.join());
});

test("AWS's own example of a presigned URL is signed as published", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: NOW });
  const signer = new Signer(async () => KEYS, "us-east-1", true);
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

test("what an answer is to say is part of a presigned URL's signature, and so is the token of temporary keys", async () => {
  const signatures = new Set<string | undefined>();
  const validity = { from: new Date(NOW), seconds: 300, until: new Date(NOW + 300_000) };
  for (const [sessionToken, type] of [
    [undefined, "image/png"],
    [undefined, "text/html"],
    ["a/session+token==", "image/png"],
  ] as const) {
    const keys = { ...KEYS, ...(sessionToken !== undefined && { sessionToken }) };
    const request = { method: "GET", host: HOST, path: "/a", query: { "response-content-type": type }, headers: {} };
    const query = await new Signer(async () => keys, "us-east-1", true).presign(request, validity);
    assert.equal(query["response-content-type"], type);
    assert.equal(query["X-Amz-Security-Token"], sessionToken);
    signatures.add(query["X-Amz-Signature"]);
  }
  assert.equal(signatures.size, 3);
});
