/** The most widely used client, unmodified, with both protocols that it supports. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Upload, type UploadOptions } from "tus-js-client";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;

/** Members that the types of this version lack. */
type Options = UploadOptions & { readonly protocol?: string };

/** Completes an upload, and returns the link from its last response. */
function upload(bytes: Buffer, options: Options): Promise<{ url: string; link: string | undefined }> {
  return new Promise((resolve, reject) => {
    const upload: Upload = new Upload(bytes, {
      retryDelays: [0, 50, 100, 200, 400],
      onError: reject,
      onSuccess: ({ lastResponse }) =>
        resolve({ url: upload.url ?? "", link: lastResponse.getHeader("Content-Location") ?? undefined }),
      ...options,
    });
    upload.start();
  });
}

const PROTOCOLS = ["tus-v1", "ietf-draft-03", "ietf-draft-05"] as const;
for (const protocol of PROTOCOLS) {
  for (const [how, options] of [
    ["in one request", {}],
    ["in chunks", { chunkSize: 700_000 }],
    ["with the creation", { uploadDataDuringCreation: true, chunkSize: 700_000 }],
    ["by POST alone", { overridePatchMethod: true }],
  ] as const) {
    if (protocol !== "tus-v1" && "overridePatchMethod" in options) continue;
    test(`${protocol}: a file ${how}`, async () => {
      await using service = await Service.start();
      const bytes = randomBytes(3 * MIB + 1);
      const metadata = { filename: "film.mp4", filetype: "video/mp4" };
      const { url } = await upload(bytes, { endpoint: `${service.url}/uploads`, protocol, metadata, ...options });
      const read = await fetch(url);
      assert.match(read.url, protocol === "tus-v1" ? /\/uploads\/[0-9a-f]{64}\.mp4$/ : /\/uploads\/[0-9a-f]{64}$/);
      assert.equal(sha256(Buffer.from(await read.arrayBuffer())), sha256(bytes));
    });
  }

  test(`${protocol}: an upload survives connections that break repeatedly`, async () => {
    await using service = await Service.start();
    await using breaking = await BreakingProxy.start(service.port, 400_000);
    const bytes = randomBytes(3 * MIB);
    const { url } = await upload(bytes, { endpoint: `${breaking.url}/uploads`, protocol });
    const read = await fetch(url.replace(breaking.url, service.url));
    assert.equal(sha256(Buffer.from(await read.arrayBuffer())), sha256(bytes));
    assert.ok(breaking.broken >= 4, `${breaking.broken}`);
  });
}

test("tus-v1: the response that completes the upload has the link", async () => {
  await using service = await Service.start();
  const { link } = await upload(Buffer.from("hello"), {
    endpoint: `${service.url}/uploads`,
    metadata: { name: "a.txt" },
  });
  assert.equal(link, `/uploads/${sha256("hello")}.txt`);
});

test("tus-v1: a length that is declared at the end", async () => {
  await using service = await Service.start();
  const endpoint = `${service.url}/uploads`;
  const { link } = await upload(Buffer.from("hello"), { endpoint, uploadLengthDeferred: true, chunkSize: 3 });
  assert.equal(link, `/uploads/${sha256("hello")}`);
});

test("tus-v1: an aborted upload resumes from its offset", async () => {
  await using service = await Service.start();
  const bytes = randomBytes(4 * MIB);
  const endpoint = `${service.url}/uploads`;
  const url = await new Promise<string>((resolve, reject) => {
    const first: Upload = new Upload(bytes, {
      endpoint,
      chunkSize: MIB,
      onError: reject,
      onChunkComplete: (_size, accepted) => {
        if (accepted >= 2 * MIB) void first.abort().then(() => resolve(first.url ?? ""));
      },
    });
    first.start();
  });
  let least = Infinity;
  const { link } = await upload(bytes, {
    endpoint,
    uploadUrl: url,
    onProgress: (sent) => (least = Math.min(least, sent)),
  });
  assert.ok(least >= 2 * MIB, `${least}`);
  assert.equal(link, `/uploads/${sha256(bytes)}`);
});

test("tus-v1: termination, also of a finished upload", async () => {
  await using service = await Service.start();
  const { url } = await upload(Buffer.from("hello"), { endpoint: `${service.url}/uploads` });
  await Upload.terminate(url);
  assert.equal((await fetch(url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } })).status, 404);
  assert.equal((await fetch(`${service.url}/uploads/${sha256("hello")}`)).status, 200);
});

test("tus-v1: content that is already stored is neither stored nor sent again", async () => {
  await using service = await Service.start();
  const bytes = randomBytes(MIB);
  await service.fixity.put(bytes);
  const metadata = { sha256: sha256(bytes) };
  const options = { endpoint: `${service.url}/uploads`, metadata, uploadDataDuringCreation: true };
  const { link } = await upload(bytes, options);
  assert.equal(link, `/uploads/${sha256(bytes)}`);
});
