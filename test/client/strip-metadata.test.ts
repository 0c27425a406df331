/**
 * `fixity/client/strip-metadata`: what remains in images that have everything, read by another
 * library and searched for the word that all of their metadata contains.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { openAsBlob } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import ExifReader from "exifreader";
import { createClient, FixityClientError } from "../../src/client/node.ts";
import { stripMetadata } from "../../src/client/strip-metadata.ts";
import { Service, sha256 } from "../helpers/service.ts";

const FOLDER = new URL("../fixtures/metadata/", import.meta.url);
const IMAGE = /\.(?:jpg|png|webp)$/;
const names = (await readdir(FOLDER)).filter((name) => IMAGE.test(name));

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function load(name: string): Promise<Buffer<ArrayBuffer>> {
  return readFile(new URL(name, FOLDER));
}

function typeOf(name: string): string {
  return `image/${name.split(".").at(-1)?.replace("jpg", "jpeg")}`;
}

async function stripped(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Buffer<ArrayBuffer>> {
  const file = new File([bytes], name, { type: typeOf(name), lastModified: 7 });
  const result = await stripMetadata(file);
  assert.ok(result instanceof File && result !== file);
  assert.deepEqual([result.name, result.type, result.lastModified], [name, typeOf(name), 7]);
  return Buffer.from(await result.arrayBuffer());
}

const refused = (error: unknown): boolean =>
  error instanceof FixityClientError && error.code === "metadata-not-removed" && !error.retryable;

type Tags = Readonly<Record<string, Readonly<Record<string, { readonly value?: unknown }>>>>;

function tagsOf(bytes: Buffer): Tags {
  // Node finds no named exports in this CommonJS module.
  // oxlint-disable-next-line import/no-named-as-default-member
  return ExifReader.load(bytes, { expanded: true, includeUnknown: true }) as unknown as Tags;
}

/** The groups of tags that say how an image is shown. */
const SHOWN_GROUPS = new Set(["file", "jfif", "icc", "png", "pngFile", "riff", "exif"]);

for (const name of names) {
  test(`${name} keeps its orientation and colours, and loses the rest`, async () => {
    const original = await load(name);
    const result = await stripped(original, name);
    assert.ok(!result.includes("SECRET"));
    const [had, has] = [tagsOf(original), tagsOf(result)];
    assert.deepEqual(has["icc"], had["icc"]);
    const orientation = had["exif"]?.["Orientation"]?.value ?? 1;
    assert.equal(has["exif"]?.["Orientation"]?.value ?? 1, orientation);
    const exifTags = Object.keys(has["exif"] ?? {}).filter((tag) => tag !== "Byte Order");
    assert.deepEqual(exifTags, orientation === 1 ? [] : ["Orientation"]);
    assert.deepEqual(
      Object.keys(has).filter((group) => !SHOWN_GROUPS.has(group)),
      [],
    );
    assert.equal(has["Thumbnail"], undefined);
    assert.deepEqual(await stripped(result, name), result, "once more changes nothing");
  });
}

test("the fixtures have what is removed", async () => {
  const everything = tagsOf(await load("everything.jpg"));
  assert.ok(everything["gps"] !== undefined && everything["Thumbnail"] !== undefined);
  for (const name of ["orientation-6.jpg", "orientation-6.png", "orientation-6.webp", "animated.webp"]) {
    const tags = tagsOf(await load(name));
    assert.ok(tags["gps"] !== undefined && tags["xmp"] !== undefined, name);
  }
  assert.ok(tagsOf(await load("orientation-6.jpg"))["iptc"] !== undefined);
  assert.equal(tagsOf(await load("nikon.jpg"))["exif"]?.["Model"]?.value?.toString(), "E4600");
});

test("gamma and primaries of a PNG stay", async () => {
  const result = await stripped(await load("gamma.png"), "gamma.png");
  assert.ok(result.includes("gAMA") && result.includes("cHRM") && result.includes("tRNS"));
});

test("everything behind the end of an image goes", async () => {
  for (const name of names) {
    const bytes = await load(name);
    const longer = Buffer.concat([bytes, Buffer.from("SECRET"), await load("nikon.jpg")]);
    assert.deepEqual(await stripped(longer, name), await stripped(bytes, name), name);
  }
});

test("an image that is cut off anywhere is refused, or none of its metadata remains", async () => {
  for (const name of ["everything.jpg", "orientation-6.png", "animated.png", "animated.webp", "lossy.webp"]) {
    const bytes = await load(name);
    let refusals = 0;
    for (let size = 4; size < bytes.length; size += 5) {
      const file = new File([bytes.subarray(0, size)], name, { type: typeOf(name) });
      const result = await stripMetadata(file).catch((error: unknown) => {
        assert.ok(refused(error), String(error));
        refusals += 1;
        return null;
      });
      if (result !== null) assert.ok(!(await result.text()).includes("SECRET"), `${name}, ${size} bytes`);
    }
    assert.ok(refusals > bytes.length / 50);
  }
});

test("a damaged image is refused, or its metadata is removed", async () => {
  const images = await Promise.all(names.map(async (name) => ({ name, bytes: await load(name) })));
  const change = fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...images),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (image, changes) => {
        const bytes = Buffer.from(image.bytes);
        // the signature stays, and so does the word that is searched for
        for (const { at, bytes: other } of changes)
          bytes.set(other.slice(0, bytes.length - 12), 12 + (at % (bytes.length - 18)));
        const file = new File([bytes], image.name, { type: typeOf(image.name) });
        const result = await stripMetadata(file).catch((error: unknown) => {
          assert.ok(refused(error), String(error));
          return null;
        });
        if (result === null) return;
        const again = await stripMetadata(result);
        assert.deepEqual(await again.bytes(), await result.bytes());
        const tags = tagsIfReadable(Buffer.from(await result.arrayBuffer()));
        for (const group of ["gps", "xmp", "iptc", "Thumbnail"]) assert.equal(tags[group], undefined, group);
      },
    ),
    { numRuns: 300 },
  );
});

/** A damaged image may be unreadable for the other library, too. */
function tagsIfReadable(bytes: Buffer): Tags {
  try {
    return tagsOf(bytes);
  } catch {
    return {};
  }
}

const jpegHead = Buffer.from("ffd8ffe000104a46494600010100000100010000", "hex");
const hostile: readonly [name: string, bytes: Buffer][] = [
  ["a segment whose length is 0", Buffer.concat([jpegHead, Buffer.from("ffe10000", "hex")])],
  ["a segment longer than the file", Buffer.concat([jpegHead, Buffer.from("ffe1ffff00", "hex")])],
  ["nothing but fill bytes", Buffer.concat([jpegHead, Buffer.alloc(1_000_000, 0xff)])],
  ["nothing but comments", Buffer.concat([jpegHead, Buffer.alloc(1_000_000, "fffe0002", "hex")])],
  ["tables and comments in turn", Buffer.concat([jpegHead, Buffer.alloc(1_000_000, "ffdb0002fffe0002", "hex")])],
  [
    "a scan without an end",
    Buffer.concat([jpegHead, Buffer.from("ffda0002", "hex"), Buffer.alloc(1_000_000, "ff00", "hex")]),
  ],
  ["a JPEG without an image", Buffer.concat([jpegHead, Buffer.from("ffd9", "hex")])],
  ["an image within an image", Buffer.concat([jpegHead, jpegHead])],
  ["a PNG without its header", Buffer.from("89504e470d0a1a0a0000000049454e44ae426082", "hex")],
  ["a chunk of 4 GB", Buffer.from("89504e470d0a1a0affffffff49484452", "hex")],
  ["a chunk whose name is no name", Buffer.from("89504e470d0a1a0a0000000d00000000", "hex")],
  ["a RIFF of 4 GB", Buffer.from("52494646ffffffff574542505650382000000000", "hex")],
  ["a RIFF that ends before its first chunk", Buffer.from("524946460400000057454250", "hex")],
];
for (const [name, bytes] of hostile) {
  test(`${name} is refused`, async () => {
    const file = new File([Uint8Array.from(bytes)], "hostile", { type: "image/jpeg" });
    await assert.rejects(stripMetadata(file, { unsupported: "keep" }), refused);
  });
}

const others: readonly [name: string, start: string, type: string][] = [
  ["HEIC", "\0\0\0\x18ftypheic\0\0\0\0", ""],
  ["MP4", "\0\0\0\x20ftypisom\0\0\0\0", ""],
  ["GIF", "GIF89a", ""],
  ["TIFF", "II*\0", ""],
  ["JPEG XL", "\xff\x0a\0\0", ""],
  ["an image of an unknown format", "unknown", "image/x-unknown"],
  ["an empty image", "", "image/jpeg"],
];
for (const [name, start, type] of others) {
  test(`${name} is refused, or kept if the caller wants that`, async () => {
    const file = new File([Buffer.from(start, "latin1")], "file", { type });
    await assert.rejects(stripMetadata(file), refused);
    assert.equal(await stripMetadata(file, { unsupported: "keep" }), file);
  });
}

test("a file that is neither an image nor a video is returned as it is", async () => {
  for (const text of ["", "a", "The wide road", "RIFF1234WAVEfmt ", "%PDF-1.7", "PK\x03\x04"]) {
    const file = new File([text], "file.bin", { type: "" });
    assert.equal(await stripMetadata(file), file);
  }
});

test("a large image is not read into memory", async () => {
  const path = join(folder, "large.png");
  const small = await load("orientation-6.png");
  const at = small.indexOf("IDAT") - 4;
  const length = 64 * 1024 * 1024;
  const header = Buffer.alloc(8);
  header.writeUInt32BE(length);
  header.write("IDAT", 4, "latin1");
  await writeFile(path, Buffer.concat([small.subarray(0, at), header, Buffer.alloc(length + 4), small.subarray(at)]));
  const blob = await openAsBlob(path);
  let read = 0;
  const slice = blob.slice.bind(blob);
  blob.slice = (from, to, type) => {
    const part = slice(from, to, type);
    const arrayBuffer = part.arrayBuffer.bind(part);
    part.arrayBuffer = () => {
      read += part.size;
      return arrayBuffer();
    };
    return part;
  };
  const result = await stripMetadata(blob);
  assert.ok(result.size > length && read < 1024 * 1024, `${read}`);
});

test("a cancelled call ends", async () => {
  const signal = AbortSignal.abort();
  const file = new File([await load("everything.jpg")], "a.jpg");
  await assert.rejects(stripMetadata(file, { signal }), { code: "aborted" });
});

test("a client uploads files without their metadata", async () => {
  await using service = await Service.start();
  const client = createClient({ endpoint: `${service.url}/uploads`, prepare: stripMetadata });
  const path = fileURLToPath(new URL("orientation-6.jpg", FOLDER));
  const { digest, type, name } = await client.upload(path);
  const expected = await stripped(await load("orientation-6.jpg"), "orientation-6.jpg");
  assert.deepEqual([digest, type, name], [`sha256:${sha256(expected)}`, "image/jpeg", "orientation-6.jpg"]);
  const damaged = (await load("orientation-6.jpg")).subarray(0, 1000);
  await assert.rejects(client.upload(damaged), refused);
  assert.equal(await service.count(), 1);
});
