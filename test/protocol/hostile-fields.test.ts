import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clientNetwork, TrustedProxies } from "../../src/access/client-address.ts";
import { extensionOf } from "../../src/core/media-type.ts";
import { settleNaming } from "../../src/core/file-name.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { isCrossSite } from "../../src/http/origins.ts";
import { chooseCoding, prefersHtml, qualityOf } from "../../src/http/fields/accept.ts";
import { authorityInTarget } from "../../src/http/adapters/node-exchange.ts";
import { bearerToken } from "../../src/http/fields/authorization.ts";
import { decodeEncodedWords, fileNameOf, formatDisposition } from "../../src/http/fields/content-disposition.ts";
import { isForm, parseContentType } from "../../src/http/fields/content-type.ts";
import { parseDigestField } from "../../src/http/fields/digest-fields.ts";
import { ifRangeHolds, parseEntityTags } from "../../src/http/fields/etag.ts";
import { canonicalHost, hostIn } from "../../src/http/fields/host.ts";
import { isPlainRange, parseRange, resolveRanges } from "../../src/http/fields/range.ts";
import { parseByteCount, parseUploadChecksum, parseUploadMetadata } from "../../src/http/fields/tus-fields.ts";
import { parseBooleanField, parseIntegerField } from "../../src/http/fields/upload-fields.ts";
import { parsePartHead } from "../../src/http/form/part-head.ts";
import { sha256 } from "../helpers/service.ts";
import { someOf } from "../helpers/full-run.ts";
import { mayBeName } from "../../src/http/routes/upload.ts";
import { Random } from "../helpers/random.ts";

/** Most bytes that Node reads as one request's header section, and that a part's header section may have. */
const MAX_SIZE = 16 * 1024;

/** What takes less than this at the full size can block no service, whatever its growth. */
const HARMLESS_MS = 1;

/** Linear work takes 8 times as long on 8 times as much; quadratic work takes 64 times as long. */
const SIZE_RATIO = 8;
const MAX_GROWTH = 32;

/** Every kind of character and short sequence that a parser looks for or skips, as one byte a character. */
const ATOMS = [
  " ", "\t", "\xa0", ";", ",", "=", '"', "\\", "a", "0", "-", "/", "*", ":", "%", "'", "(", "?", ".", "~",
  "a=", ";a", ";a=b", "; ", " ;", ", ", " ,", '\\"', '"a"', "W/", "0-1,", "%22", "%a", "=?", "\xc3\xa9",
]; // prettier-ignore

/** What a request's text is handed to, with a beginning that leads past the first check, and what it is made with. */
const PARSERS: Readonly<Record<string, readonly [starts: readonly string[], parse: (text: string) => unknown]>> = {
  "Accept": [["", "text/html", "text/html;q"], (text) => prefersHtml(text)],
  "Accept, one type": [["", "a/b;q=1"], (text) => qualityOf("text/html", text)],
  "Accept-Encoding": [["", "gzip", "gzip;q=1"], (text) => chooseCoding(["br", "gzip"], text)],
  "Authorization": [["", "Bearer a"], bearerToken],
  "Content-Disposition": [["", "attachment", 'attachment; filename="', "attachment; filename*=utf-8''"], fileNameOf],
  "Content-Disposition of an answer": [["", "a"], (text) => formatDisposition("inline", text)],
  "Content-Type": [["", "text/html", 'text/html; a="', "multipart/form-data; boundary="], parseContentType],
  "Content-Type, form or not": [["", "multipart/form-data"], isForm],
  "digest fields": [["", "sha-256=:", "sha-256=:YQ==:", 'a="', "a=(", "a;"], (text) => parseDigestField("Repr-Digest", text)],
  "entity tags": [["", "W/", '"a"', '"'], parseEntityTags],
  "encoded words": [["", "=?utf-8?Q?", "=?utf-8?B?YQ==?="], decodeEncodedWords],
  "file names": [["", "a."], (text) => settleNaming({ filename: text, type: null })],
  "form part's head": [
    ["", "\r\nContent-Disposition: form-data", '\r\nContent-Disposition: form-data; name="', '\r\nContent-Disposition: form-data; name="a"; filename="'],
    (text) => parsePartHead(Buffer.from(text, "latin1"), null),
  ],
  "form part's type": [
    ["\r\nContent-Disposition: form-data; name=a\r\nContent-Type: ", "\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a/b"],
    (text) => parsePartHead(Buffer.from(text, "latin1"), null),
  ],
  "Host": [["", "[", "xn--", "a."], (text) => [hostIn(text), canonicalHost(text), authorityInTarget(`http://${text}`)]],
  "If-Range": [["", '"a"'], (text) => ifRangeHolds(text, '"a"')],
  "media types": [["", "image/"], extensionOf],
  "names in targets": [["", "a.", "%"], mayBeName],
  "Origin": [["", "http://", "http://xn--"], (text) => isCrossSite(crossSite(text), { origins: new Set(), own: null })],
  "Range": [["", "bytes=", "bytes=0-1"], (text) => resolveRanges(parseRange(text) ?? [], 1000)],
  "Range that can be delegated": [["bytes=", "bytes=0-"], isPlainRange],
  "Upload-Checksum": [["", "sha1 "], parseUploadChecksum],
  "Upload-Complete": [["", "?1", "?1;a"], parseBooleanField],
  "Upload-Metadata": [["", "filename YQ=="], parseUploadMetadata],
  "X-Forwarded-For": [["", "1.2.3.4,", "[::"], (text) => clientNetwork("127.0.0.1", text, new TrustedProxies(["127.0.0.1"]))],
  "Upload-Length of tus": [["", "1"], parseByteCount],
  "Upload-Offset": [["", "1", "1;a"], parseIntegerField],
}; // prettier-ignore

/** A request whose `Origin` and `Host` are such a text. */
function crossSite(text: string): Parameters<typeof isCrossSite>[0] {
  return { fields: new Map([["origin", text]]), authority: text };
}

/** A start, one atom repeated, then another, each in half of the room, and an end. No atom is cut. */
function hostile([start = "", first = "", second = "", end = ""]: readonly string[], size: number): string {
  const half = (size - start.length - end.length) / 2;
  const repeated = (atom: string) => atom.repeat(Math.floor(half / atom.length));
  return start + repeated(first) + repeated(second) + end;
}

/** Milliseconds that the quickest of some runs takes. Errors are as good as results: only the work counts. */
function durationOf(parse: (text: string) => unknown, text: string, runs: number): number {
  let least = Infinity;
  for (let run = 0; run < runs; run += 1) {
    const start = performance.now();
    try {
      parse(text);
    } catch {}
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

/** Whether work grows faster than its input, judged from sizes that differ by {@link SIZE_RATIO}, more than once. */
function growsTooFast(parse: (text: string) => unknown, shape: readonly string[]): boolean {
  const [large, small] = [hostile(shape, MAX_SIZE), hostile(shape, MAX_SIZE / SIZE_RATIO)];
  // until the code is compiled as it will be, so that both are measured alike
  durationOf(parse, small, 100);
  const growth = () => durationOf(parse, large, 20) / durationOf(parse, small, 40);
  return [1, 2, 3].every(() => growth() > MAX_GROWTH);
}

describe("no text of a request takes more than linear time to parse:", () => {
  for (const [name, [starts, parse]] of Object.entries(PARSERS)) {
    test(name, (t) => {
      const random = new Random();
      t.diagnostic(`seed ${random.seed}`);
      const shapes = starts.flatMap((start) =>
        ATOMS.flatMap((first) => ATOMS.flatMap((second) => ["", "x", ",x"].map((end) => [start, first, second, end]))),
      );
      for (const shape of someOf(shapes, 1500, random)) {
        if (durationOf(parse, hostile(shape, MAX_SIZE), 1) < HARMLESS_MS) continue;
        assert.ok(!growsTooFast(parse, shape), JSON.stringify(shape));
      }
    });
  }
});

test("the measurement finds a parser that takes quadratic time", () => {
  const quadratic = (text: string) => {
    for (let at = 0; at < text.length; at += 1) if (text.slice(at).trim() === "") return;
  };
  assert.ok(growsTooFast(quadratic, ["", ";", " ", "x"]));
});

/** All fields that the handler reads, and some that proxies and frameworks read. */
const FIELDS = [
  "accept", "accept-encoding", "access-control-request-headers", "access-control-request-method", "authorization",
  "content-digest", "content-disposition", "content-encoding", "content-range", "content-type", "cookie", "expect",
  "forwarded", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "origin", "range",
  "repr-digest", "sec-fetch-dest", "sec-fetch-site", "trailer", "tus-resumable", "upload-checksum", "upload-complete", "upload-concat",
  "upload-defer-length", "upload-draft-interop-version", "upload-length", "upload-metadata", "upload-offset", "want-repr-digest",
  "x-forwarded-for", "x-forwarded-host", "x-http-method-override",
]; // prettier-ignore

test("no request takes more than linear time to answer, whatever one of its fields holds", async (t) => {
  await using fixity = createFixity({ store: memoryStore() });
  const handler = fetchHandler(fixity, { view: true, cors: { origins: "*" } });
  const { link } = await fixity.put([Buffer.from("content")], { filename: "a.txt" });
  const random = new Random();
  t.diagnostic(`seed ${random.seed}`);
  const bases: readonly (readonly [method: string, target: string, fields: Record<string, string>])[] = [
    ["GET", `/uploads/${link.toString()}`, {}],
    ["GET", `/uploads/${link.toString()}?view`, {}],
    ["PUT", `/uploads/${link.toString()}`, {}],
    ["POST", "/uploads", {}],
    ["POST", "/uploads", { "upload-complete": "?0" }],
    ["POST", "/uploads", { "tus-resumable": "1.0.0", "upload-length": "10" }],
    ["PATCH", "/uploads/in-progress/00000000000000000000000000000000", { "tus-resumable": "1.0.0" }],
    ["OPTIONS", "/uploads", { origin: "http://a.example", "access-control-request-method": "POST" }],
  ];
  const quickest = async (base: (typeof bases)[number], field: string, text: string, runs: number) => {
    const [method, target, fields] = base;
    let least = Infinity;
    for (let run = 0; run < runs; run += 1) {
      const headers = new Headers({ ...fields, [field]: text });
      const body = ["GET", "OPTIONS"].includes(method) ? null : "content";
      const start = performance.now();
      const answer = await handler(new Request(`http://localhost${target}`, { method, headers, body }));
      await answer.arrayBuffer();
      least = Math.min(least, performance.now() - start);
      assert.ok(answer.status < 500, `${method} ${target} ${field}: ${answer.status}`);
    }
    return least;
  };
  for (const field of FIELDS) {
    for (let round = 0; round < 40; round += 1) {
      const base = random.pick(bases);
      // a field's value is without white space at its ends
      const shape = [random.pick(["", "a/b", "a", "bytes=", '"a"']), random.pick(ATOMS), random.pick(ATOMS), "x"];
      if ((await quickest(base, field, hostile(shape, MAX_SIZE), 1)) < HARMLESS_MS * 10) continue;
      const growth = async () =>
        (await quickest(base, field, hostile(shape, MAX_SIZE), 5)) /
        (await quickest(base, field, hostile(shape, MAX_SIZE / SIZE_RATIO), 20));
      const ratios = [await growth(), await growth(), await growth()];
      assert.ok(
        Math.min(...ratios) < MAX_GROWTH,
        `${base[0]} ${base[1]} ${field} ${JSON.stringify(shape)} ${ratios.join(" ")}`,
      );
    }
  }
});

test("a field for media types is read up to 1,024 characters and 16 parameters", async () => {
  const parameters = (count: number) => Array.from({ length: count }, (_, index) => `;p${index}=1`).join("");
  assert.equal(parseContentType(`text/html${parameters(16)}`)?.parameters.size, 16);
  assert.equal(parseContentType(`text/html${parameters(17)}`), null);
  assert.equal(parseContentType(`text/html;a=${"b".repeat(1024 - 12)}`)?.essence, "text/html");
  assert.equal(parseContentType(`text/html;a=${"b".repeat(1025 - 12)}`), null);
  assert.equal(prefersHtml(`text/html,${" ".repeat(1024 - 10)}`), true);
  assert.equal(prefersHtml(`text/html,${" ".repeat(1025 - 10)}`), false);
  assert.equal(chooseCoding(["gzip"], `gzip,${" ".repeat(1024 - 5)}`), "gzip");
  assert.equal(chooseCoding(["gzip"], `gzip,${" ".repeat(1025 - 5)}`), null);
  const head = (count: number) =>
    parsePartHead(Buffer.from(`\r\nContent-Disposition: form-data; name=a${parameters(count - 1)}`), null);
  assert.equal(head(16).name, "a");
  assert.throws(() => head(17), { code: "malformed-form" });
});

test("an upload whose Content-Type is too long is refused, and nothing is stored", async () => {
  await using fixity = createFixity({ store: memoryStore() });
  const handler = fetchHandler(fixity);
  for (const type of ["image/png", "multipart/form-data; boundary=b"]) {
    for (const [method, path, fields] of [
      ["POST", "", {}],
      ["POST", "", { "upload-complete": "?1" }],
      ["POST", "", { "tus-resumable": "1.0.0", "upload-length": "7" }],
      ["PUT", "/photo.png", {}],
      ["PUT", `/${sha256("content")}`, {}],
    ] as const) {
      const headers = { ...fields, "content-type": `${type};x="${" ".repeat(1024)}"` };
      const request = new Request(`http://localhost/uploads${path}`, { method, headers, body: "content" });
      const answer = await handler(request);
      const problem = (await answer.json()) as { code: string; detail: string };
      assert.deepEqual([answer.status, problem.code], [400, "invalid-field"], `${method} ${path}`);
      assert.match(problem.detail, /Content-Type may have 1024 characters at most/);
    }
  }
  for await (const _blob of fixity.list()) assert.fail("nothing is stored");
});
