/** Content that would be stored as other bytes than the sender's file, or only in part, is refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { type RawAnswer, RawClient } from "../helpers/raw-client.ts";
import { formOf, fileHead, Service, sha256 } from "../helpers/service.ts";

const HELLO = "hello";
const LINK = `/uploads/${sha256(HELLO)}`;
const { boundary, body: FORM_BODY } = formOf([{ head: fileHead(), content: HELLO }]);
const TUS = ["Tus-Resumable: 1.0.0"];

/** A request with content, by every route that takes any. */
interface Route {
  readonly name: string;
  readonly line: (at: string) => string;
  readonly fields: readonly string[];
  readonly content?: string;
  /** What is created before. */
  readonly creation?: readonly string[];
}

const ROUTES: readonly Route[] = [
  { name: "raw POST", line: () => "POST /uploads", fields: ["Content-Type: text/plain"] },
  {
    name: "form",
    line: () => "POST /uploads",
    fields: [`Content-Type: multipart/form-data; boundary=${boundary}`],
    content: FORM_BODY.toString(),
  },
  { name: "PUT", line: () => `PUT ${LINK}`, fields: [] },
  { name: "IETF creation by POST", line: () => "POST /uploads", fields: ["Upload-Complete: ?1"] },
  { name: "IETF creation by PUT", line: () => `PUT ${LINK}`, fields: ["Upload-Complete: ?1"] },
  {
    name: "IETF append",
    line: (at) => `PATCH ${at}`,
    fields: ["Content-Type: application/partial-upload", "Upload-Offset: 0", "Upload-Complete: ?0"],
    creation: ["Upload-Complete: ?0"],
  },
  {
    name: "IETF last append",
    line: (at) => `PATCH ${at}`,
    fields: ["Content-Type: application/partial-upload", "Upload-Offset: 0", "Upload-Complete: ?1"],
    creation: ["Upload-Complete: ?0"],
  },
  {
    name: "tus creation",
    line: () => "POST /uploads",
    fields: [...TUS, "Upload-Length: 5", "Content-Type: application/offset+octet-stream"],
  },
  {
    name: "tus append",
    line: (at) => `PATCH ${at}`,
    fields: [...TUS, "Content-Type: application/offset+octet-stream", "Upload-Offset: 0"],
    creation: [...TUS, "Upload-Length: 5"],
  },
];

async function send(service: Service, head: readonly string[], rest: string | Buffer): Promise<RawAnswer> {
  await using client = await RawClient.open(service.port);
  await client.send(`${[head[0], "Host: a", ...head.slice(1)].join("\r\n")}\r\n\r\n`);
  if (rest.length > 0) await client.send(rest);
  for (;;) {
    const answer = await client.answer();
    if (answer.status >= 200) return answer;
  }
}

async function prepare(service: Service, { creation }: Route): Promise<string> {
  if (creation === undefined) return "";
  const answer = await send(service, ["POST /uploads HTTP/1.1", ...creation, "Content-Length: 0"], "");
  return answer.fields.get("location") ?? assert.fail(String(answer.status));
}

const codeOf = ({ body }: RawAnswer): unknown => (JSON.parse(body.toString()) as { code: unknown }).code;

/** Nothing is stored, and no byte of an upload counts. */
async function assertNothingTaken(service: Service, at: string, what: string): Promise<void> {
  assert.equal(await service.count(), 0, what);
  if (at === "") return;
  const head = await fetch(service.url + at, { method: "HEAD" });
  assert.equal(head.headers.get("upload-offset"), "0", what);
}

const chunked = (content: string | Buffer, trailers: readonly string[] = []): Buffer =>
  Buffer.concat([
    Buffer.from(`${content.length.toString(16)}\r\n`),
    Buffer.from(content),
    Buffer.from(`\r\n0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`),
  ]);

for (const adapter of ["node", "fastify"] as const) {
  for (const route of ROUTES) {
    const { name, line, fields, content = HELLO } = route;

    test(`${adapter}, ${name}: a transfer coding other than chunked is 501, and the connection is closed`, async () => {
      for (const coding of ["gzip, chunked", "identity, chunked", "deflate,chunked", "x, chunked"]) {
        await using service = await Service.start({ adapter });
        const at = await prepare(service, route);
        const head = [`${line(at)} HTTP/1.1`, ...fields, `Transfer-Encoding: ${coding}`];
        const answer = await send(service, head, chunked(gzipSync(content)));
        assert.deepEqual([answer.status, codeOf(answer)], [501, "unsupported-transfer-coding"], coding);
        assert.equal(answer.fields.get("connection"), "close");
        await assertNothingTaken(service, at, coding);
      }
      await using service = await Service.start({ adapter });
      const at = await prepare(service, route);
      const answer = await send(
        service,
        [`${line(at)} HTTP/1.1`, ...fields, "Transfer-Encoding: Chunked"],
        chunked(content),
      );
      assert.ok(answer.status < 300, `Chunked: ${answer.status}`);
    });

    test(`${adapter}, ${name}: HTTP/1.0 with a transfer coding is 400`, async () => {
      await using service = await Service.start({ adapter });
      const at = await prepare(service, route);
      const head = [`${line(at)} HTTP/1.0`, ...fields, "Transfer-Encoding: chunked"];
      const answer = await send(service, head, chunked(content));
      assert.equal(answer.status, 400);
      await assertNothingTaken(service, at, "HTTP/1.0");
    });

    test(`${adapter}, ${name}: Content-Range is 400, whatever it says`, async () => {
      for (const range of ["bytes 0-4/10", "bytes 0-4/5", "bytes */5", "x"]) {
        await using service = await Service.start({ adapter });
        const at = await prepare(service, route);
        const length = `Content-Length: ${Buffer.byteLength(content)}`;
        const answer = await send(
          service,
          [`${line(at)} HTTP/1.1`, ...fields, `Content-Range: ${range}`, length],
          content,
        );
        assert.deepEqual([answer.status, codeOf(answer)], [400, "invalid-field"], range);
        await assertNothingTaken(service, at, range);
      }
    });

    test(`${adapter}, ${name}: a digest in a trailer that Trailer did not announce is never ignored`, async () => {
      const wrong = createHash("sha256").update("other").digest("base64");
      const trailers = name.startsWith("tus")
        ? [`Upload-Checksum: sha1 ${createHash("sha1").update("other").digest("base64")}`]
        : [`Content-Digest: sha-256=:${wrong}:`, `Repr-Digest: sha-256=:${wrong}:`];
      for (const trailer of trailers) {
        // the digest of the whole of an upload that is not complete yet is checked at its end
        if (name === "IETF append" && trailer.startsWith("Repr")) continue;
        for (const announced of [false, true]) {
          await using service = await Service.start({ adapter });
          const at = await prepare(service, route);
          const announcement = announced ? [`Trailer: ${trailer.split(":")[0]}`] : [];
          const head = [`${line(at)} HTTP/1.1`, ...fields, ...announcement, "Transfer-Encoding: chunked"];
          const answer = await send(service, head, chunked(content, [trailer]));
          const what = `${trailer}, announced: ${announced}`;
          assert.ok([400, 422, 460].includes(answer.status), `${what}: ${answer.status} ${answer.body.toString()}`);
          assert.ok(
            ["unsupported-digest", "digest-mismatch", "checksum-mismatch"].includes(String(codeOf(answer))),
            what,
          );
          assert.equal(await service.count(), 0, what);
          // a wrong digest of the whole ends the upload
          if (!trailer.startsWith("Repr") && name !== "IETF last append") await assertNothingTaken(service, at, what);
        }
      }
    });

    test(`${adapter}, ${name}: a digest that Trailer announces and that does not arrive is refused`, async () => {
      await using service = await Service.start({ adapter });
      const at = await prepare(service, route);
      const trailer = name.startsWith("tus") ? "Upload-Checksum" : "Content-Digest";
      const head = [`${line(at)} HTTP/1.1`, ...fields, `Trailer: ${trailer}`, "Transfer-Encoding: chunked"];
      const answer = await send(service, head, chunked(content));
      assert.deepEqual([answer.status, codeOf(answer)], [400, "unsupported-digest"]);
      await assertNothingTaken(service, at, trailer);
    });
  }
}

for (const method of ["GET", "HEAD", "DELETE", "OPTIONS"]) {
  test(`${method} with a transfer coding other than chunked is 501`, async () => {
    await using service = await Service.start();
    await using client = await RawClient.open(service.port);
    await client.send(`${method} ${LINK} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`);
    assert.equal((await client.answer({ head: method === "HEAD" })).status, 501);
  });
}

test("URL-encoded content is 415 with what to send instead, but not in a resumable upload", async () => {
  await using service = await Service.start();
  const types = [
    "application/x-www-form-urlencoded",
    "Application/X-WWW-Form-Urlencoded; charset=utf-8",
    "application/x-www-form-urlencoded;;",
  ];
  for (const type of types) {
    for (const [method, target] of [
      ["POST", "/uploads"],
      ["PUT", LINK],
    ] as const) {
      const headers = { "content-type": type };
      const refused = await fetch(service.url + target, { method, headers, body: HELLO });
      const problem = (await refused.json()) as { code: string; detail: string };
      assert.deepEqual([refused.status, problem.code], [415, "unsupported-media-type"], `${method} ${type}`);
      for (const advice of ["curl -F upload=@FILE", "curl -T FILE", 'enctype="multipart/form-data"', "Content-Type"]) {
        assert.ok(problem.detail.includes(advice), advice);
      }
      assert.equal(await service.count(), 0);
    }
    const resumable = { "content-type": type, "upload-complete": "?1" };
    const taken = await fetch(`${service.url}/uploads`, { method: "POST", headers: resumable, body: HELLO });
    assert.equal(taken.status, 201);
    await service.fixity.remove((await Array.fromAsync(service.fixity.list()))[0]?.digest ?? assert.fail());
  }
  assert.equal(
    (await fetch(`${service.url}/uploads`, { method: "POST", body: new URLSearchParams("a=b") })).status,
    415,
  );
});

/** What chunking uploaders send with one chunk of several, and with a file that is whole. */
const CHUNKS: readonly (readonly [uploader: string, chunk: Record<string, string>, whole: Record<string, string>])[] = [
  ["Dropzone", { dzchunkindex: "0", dztotalchunkcount: "3" }, { dzchunkindex: "0", dztotalchunkcount: "1" }],
  ["Resumable.js", { resumableChunkNumber: "1", resumableTotalChunks: "2" }, { resumableTotalChunks: "1" }],
  ["Flow.js", { flowChunkNumber: "1", flowTotalChunks: "2" }, { flowTotalChunks: "1" }],
  ["simple-uploader.js", { chunkNumber: "1", totalChunks: "2" }, { totalChunks: "1" }],
  ["Plupload", { name: "a", chunk: "0", chunks: "2" }, { chunk: "0", chunks: "1" }],
  ["Fine Uploader", { qqpartindex: "0", qqtotalparts: "2" }, { qqtotalparts: "1" }],
  ["Syncfusion", { "chunk-index": "0", "total-chunk": "2" }, { "total-chunk": "0" }],
  ["DevExtreme", { chunkMetadata: '{"Index":0,"TotalCount":2}' }, { chunkMetadata: '{"Index":0,"TotalCount":1}' }],
  ["Kendo UI", { metadata: '{"chunkIndex":0,"totalChunks":2}' }, { metadata: '{"chunkIndex":0,"totalChunks":1}' }],
  [
    "ng-file-upload",
    { _chunkNumber: "0", _currentChunkSize: "5", _totalSize: "9" },
    { _currentChunkSize: "5", _totalSize: "5" },
  ],
  ["none of them", { chunks: "two" }, { chunks: "two", metadata: "[", chunkMetadata: "null", totalChunks: "" }],
];

for (const [uploader, chunk, whole] of CHUNKS) {
  for (const place of ["before the file", "behind the file", "in the query"] as const) {
    test(`one chunk of several is refused, and a whole file is stored: the fields of ${uploader} ${place}`, async () => {
      for (const fields of [chunk, whole]) {
        await using service = await Service.start();
        const isRefused = fields === chunk && uploader !== "none of them";
        const text = Object.entries(fields).map(([name, content]) => ({
          head: `Content-Disposition: form-data; name="${name}"`,
          content,
        }));
        const file = { head: fileHead(), content: HELLO };
        const parts =
          place === "before the file" ? [...text, file] : place === "behind the file" ? [file, ...text] : [file];
        const form = formOf(parts);
        const query = place === "in the query" ? `?${new URLSearchParams(fields).toString()}` : "";
        const headers = { "content-type": `multipart/form-data; boundary=${form.boundary}` };
        const response = await fetch(`${service.url}/uploads${query}`, { method: "POST", headers, body: form.body });
        assert.equal(response.status, isRefused ? 400 : 201, JSON.stringify(fields));
        if (isRefused) assert.equal(((await response.json()) as { code: string }).code, "malformed-form");
        assert.equal(await service.count(), isRefused ? 0 : 1);
      }
    });
  }
}
