import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../../core/errors.ts";
import { type EndpointOptions, parseEndpoint } from "./client-options.ts";
import { urlPath } from "./client.ts";

interface Case {
  readonly options: EndpointOptions;
  readonly object: string;
  readonly bucket: string;
  readonly address: string;
}

const CASES: Readonly<Record<string, Case>> = {
  "AWS, by region": {
    options: { bucket: "files", region: "eu-central-1" },
    object: "https://files.s3.eu-central-1.amazonaws.com/a/b",
    bucket: "https://files.s3.eu-central-1.amazonaws.com/",
    address: "s3.eu-central-1.amazonaws.com",
  },
  "AWS in China": {
    options: { bucket: "files", region: "cn-north-1" },
    object: "https://files.s3.cn-north-1.amazonaws.com.cn/a/b",
    bucket: "https://files.s3.cn-north-1.amazonaws.com.cn/",
    address: "s3.cn-north-1.amazonaws.com.cn",
  },
  "a bucket with dots, which no certificate of AWS matches": {
    options: { bucket: "files.example.com", region: "us-east-1" },
    object: "https://s3.us-east-1.amazonaws.com/files.example.com/a/b",
    bucket: "https://s3.us-east-1.amazonaws.com/files.example.com",
    address: "s3.us-east-1.amazonaws.com",
  },
  "path style on AWS, if requested": {
    options: { bucket: "files", region: "us-east-1", forcePathStyle: true },
    object: "https://s3.us-east-1.amazonaws.com/files/a/b",
    bucket: "https://s3.us-east-1.amazonaws.com/files",
    address: "s3.us-east-1.amazonaws.com",
  },
  "another provider": {
    options: { bucket: "files", endpoint: "https://minio.example.com:9000" },
    object: "https://minio.example.com:9000/files/a/b",
    bucket: "https://minio.example.com:9000/files",
    address: "minio.example.com:9000",
  },
  "another provider, without a scheme": {
    options: { bucket: "files", endpoint: "fra1.example.com" },
    object: "https://fra1.example.com/files/a/b",
    bucket: "https://fra1.example.com/files",
    address: "fra1.example.com",
  },
  "another provider, by host name": {
    options: { bucket: "files", endpoint: "https://fra1.example.com", forcePathStyle: false },
    object: "https://files.fra1.example.com/a/b",
    bucket: "https://files.fra1.example.com/",
    address: "fra1.example.com",
  },
  "a provider under a path, with the default port": {
    options: { bucket: "files", endpoint: "https://example.com:443/storage/s3/" },
    object: "https://example.com/storage/s3/files/a/b",
    bucket: "https://example.com/storage/s3/files",
    address: "example.com/storage/s3",
  },
  "a provider under a path, by host name": {
    options: { bucket: "files", endpoint: "http://example.com/s3", forcePathStyle: false },
    object: "http://files.example.com/s3/a/b",
    bucket: "http://files.example.com/s3",
    address: "example.com/s3",
  },
  "an address": {
    options: { bucket: "files", endpoint: "http://[::1]:9000" },
    object: "http://[::1]:9000/files/a/b",
    bucket: "http://[::1]:9000/files",
    address: "[::1]:9000",
  },
};

for (const [what, { options, object, bucket, address }] of Object.entries(CASES)) {
  test(`the URLs of a bucket: ${what}`, () => {
    const endpoint = parseEndpoint(options);
    assert.equal(endpoint.origin + urlPath(endpoint, "a/b"), object);
    assert.equal(endpoint.origin + urlPath(endpoint, null), bucket);
    assert.equal(endpoint.address, address);
    assert.equal(endpoint.host, new URL(object).host, "as it is sent and signed");
    assert.equal(endpoint.isSecure, object.startsWith("https:"));
  });
}

test("an invalid bucket, region or endpoint is refused by the name of its option", () => {
  const endpoint = "https://example.com";
  const wrong: readonly (readonly [RegExp, EndpointOptions])[] = [
    ...["", "a", "ab", "a/b", "../a", "a..b", "a b", "-ab", "ab-", "a?b", "a\nb", "ä".repeat(5), "a".repeat(300)].map(
      (bucket) => [/^bucket /, { bucket, endpoint }] as const,
    ),
    ...["", "eu central", "a.b", "x/y", "evil.com#", "a".repeat(64)].map(
      (region) => [/^region /, { bucket: "files", region }] as const,
    ),
    [/^region is missing/, { bucket: "files" }],
    ...[
      "",
      "ftp://example.com",
      "https://user:secret@example.com",
      "https://example.com/?a=b",
      "https://x/#y",
      "::",
    ].map((endpoint) => [/^endpoint /, { bucket: "files", endpoint }] as const),
  ];
  for (const [message, options] of wrong) {
    assert.throws(
      () => parseEndpoint(options),
      (error) => {
        assert(error instanceof FixityError && error.code === "invalid-option", JSON.stringify(options));
        assert.match(error.message, message, JSON.stringify(options));
        assert(!error.message.includes("secret"));
        return true;
      },
    );
  }
});

test("clients may reach S3 at another endpoint, and an error in it names publicEndpoint", () => {
  const options = { bucket: "files", endpoint: "http://minio:9000", publicEndpoint: "https://s3.example.com" };
  assert.equal(parseEndpoint(options).origin, "http://minio:9000");
  const publicEndpoint = parseEndpoint(options, "publicEndpoint");
  assert.equal(publicEndpoint.origin + urlPath(publicEndpoint, "a"), "https://s3.example.com/files/a");
  assert.throws(
    () => parseEndpoint({ ...options, publicEndpoint: "ftp://x" }, "publicEndpoint"),
    /^FixityError: publicEndpoint must/,
  );
});
