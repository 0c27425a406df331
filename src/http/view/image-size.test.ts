import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readImageSize } from "./image-size.ts";

const bytes = (...parts: readonly (string | readonly number[] | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))));
const be16 = (...values: readonly number[]): readonly number[] => values.flatMap((value) => [value >> 8, value & 255]);
const be32 = (...values: readonly number[]): readonly number[] =>
  values.flatMap((value) => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);
const le16 = (...values: readonly number[]): readonly number[] => values.flatMap((value) => [value & 255, value >> 8]);
const le32 = (...values: readonly number[]): readonly number[] => values.flatMap((value) => be32(value).toReversed());
const box = (type: string, ...content: readonly (readonly number[] | Buffer)[]): Buffer => {
  const inner = bytes(...content);
  return bytes(be32(inner.length + 8), type, inner);
};

const PNG = bytes("\x89PNG\r\n\x1a\n", be32(13), "IHDR", be32(16_000, 16_001), [1, 0, 0, 0, 0]);
const JPEG = bytes([0xff, 0xd8, 0xff, 0xe1], be16(1000), Buffer.alloc(998), [0xff, 0xff, 0xc4], be16(4, 0), [0xff, 0xc2],
  be16(11), [8], be16(16_001, 16_000), [1, 1, 0x11, 0]); // prettier-ignore
const screen = (width: number, height: number): Buffer =>
  bytes("GIF89a", le16(width, height), [0x80, 0, 0], [0, 0, 0, 1, 1, 1]);
const GIF = bytes(screen(1, 1), [0x21, 0xfe, 2, 65, 66, 1, 67, 0], [0x2c], le16(0, 0, 16_000, 16_001), [0]);
const riff = (kind: string, ...content: readonly (readonly number[])[]): Buffer =>
  bytes("RIFF", le32(100), "WEBP", kind, le32(10), ...content);
const info = (width: number, height: number): Buffer => bytes(le32(40), le32(width, height), Buffer.alloc(28));
const ispe = (width: number, height: number): Buffer => box("ispe", be32(0, width, height));

const IMAGES: Readonly<Record<string, Buffer>> = {
  PNG,
  JPEG,
  "GIF, by its frame": GIF,
  "WebP, extended": riff("VP8X", [0, 0, 0, 0], le32(15_999).slice(0, 3), le32(16_000).slice(0, 3)),
  "WebP, lossy": riff("VP8 ", [0, 0, 0, 0x9d, 0x01, 0x2a], le16(16_000, 16_001)),
  "WebP, lossless": riff("VP8L", [0x2f], le32((15_999 | (16_000 << 14)) >>> 0)),
  BMP: bytes("BM", Buffer.alloc(12), info(16_000, -16_001)),
  "BMP of OS/2": bytes("BM", Buffer.alloc(12), le32(12), le16(16_000, 16_001)),
  "icon with a PNG": bytes(le16(0, 1, 2), Buffer.alloc(12), le32(38), Buffer.alloc(12), le32(78), info(1, 2), PNG),
  AVIF: bytes(
    box("ftyp", Buffer.from("avif\0\0\0\0")),
    box("meta", be32(0), box("hdlr", Buffer.alloc(20)), box("iprp", box("ipco", ispe(1, 1), ispe(16_000, 16_001), ispe(2, 2)))),
    box("mdat", Buffer.alloc(100)),
  ),
  "AVIF sequence": bytes(
    box("ftyp", Buffer.from("avis\0\0\0\0")),
    box("moov", box("trak", box("mdia", box("minf", box("stbl", box("stsd", be32(0, 1), box("av01", Buffer.alloc(24), be16(16_000, 16_001)))))))),
  ),
}; // prettier-ignore

for (const [name, image] of Object.entries(IMAGES)) {
  test(`the size of ${name}`, () => {
    assert.deepEqual(readImageSize(image, true), { width: 16_000, height: 16_001 });
  });

  test(`the beginning of ${name} states the same size or asks for more`, () => {
    for (let length = 0; length < image.length; length += 1) {
      const reading = readImageSize(image.subarray(0, length), false);
      if (reading !== "more") assert.deepEqual(reading, { width: 16_000, height: 16_001 }, `${length} bytes`);
    }
  });
}

test("a file that is not an image has no size", () => {
  for (const text of [
    "neither an image nor anything else",
    "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "%PDF-1.7 a document",
  ]) {
    assert.equal(readImageSize(Buffer.from(text), true), "unknown");
  }
});

test("no bytes make it throw or take long", () => {
  const starts = Object.values(IMAGES).map((image) => fc.constant(image.subarray(0, 12)));
  fc.assert(
    fc.property(fc.oneof(...starts), fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (start, rest, isWhole) => {
      readImageSize(Buffer.concat([start, rest]), isWhole);
    }),
    { numRuns: 3000 },
  );
  const nested = Buffer.concat([
    box("ftyp", Buffer.from("avif\0\0\0\0")),
    ...Array.from({ length: 100_000 }, () => bytes(be32(0xffff_fff0), "moov")),
  ]);
  assert.equal(readImageSize(nested, false), "more");
});
