import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import mime from "mime";
import { EXTENSIONS } from "./media-type-names.ts";
import { extensionOf, mediaTypeOf, OCTET_STREAM } from "./media-type.ts";

const USUAL: Readonly<Record<string, string>> = {
  jpg: "image/jpeg image/jpg image/pjpeg",
  png: "image/png image/x-png",
  bmp: "image/bmp image/x-bmp image/x-ms-bmp",
  tif: "image/tiff image/x-tiff",
  flac: "audio/flac audio/x-flac",
  opus: "audio/opus",
  wav: "audio/wav audio/x-wav audio/wave audio/vnd.wave",
  m4a: "audio/mp4 audio/m4a audio/x-m4a",
  mp3: "audio/mpeg audio/mp3 audio/x-mp3 audio/x-mpeg",
  aac: "audio/aac audio/x-aac",
  aif: "audio/aiff audio/x-aiff",
  mid: "audio/mid audio/midi audio/x-midi",
  ogg: "audio/ogg",
  avi: "video/avi video/msvideo video/x-msvideo",
  mkv: "video/matroska video/x-matroska",
  mov: "video/quicktime video/mov",
  m4v: "video/m4v video/x-m4v",
  wmv: "video/wmv video/x-ms-wmv",
  m2ts: "video/mp2t",
  ts: "application/typescript text/x-typescript",
  yaml: "application/yaml application/x-yaml text/yaml text/x-yaml",
  json: "application/json text/json",
  gz: "application/gzip application/x-gzip",
  pdf: "application/pdf application/x-pdf",
  js: "text/javascript application/javascript application/x-javascript",
  csv: "text/csv application/csv text/x-csv",
  rar: "application/vnd.rar application/x-rar application/x-rar-compressed",
  zip: "application/zip application/x-zip application/x-zip-compressed",
  woff: "font/woff application/font-woff application/x-font-woff",
  ps: "application/postscript",
};

for (const [extension, types] of Object.entries(USUAL)) {
  test(`${types.split(" ").join(", ")}: ${extension}`, () => {
    for (const type of types.split(" ")) {
      for (const written of [
        type,
        type.toUpperCase(),
        ` ${type};x`,
        `${type}; codecs=a, b`,
        `${type}; a="`,
        `${type}, a/b`,
      ]) {
        assert.equal(extensionOf(written), extension, written);
      }
    }
  });
}

test("every alias in shared-mime-info maps to an extension of its type", async () => {
  const list = await readFile(new URL("../../test/fixtures/shared-mime-info-aliases.txt", import.meta.url), "utf8");
  const lines = list.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  assert.ok(lines.length > 250);
  for (const line of lines) {
    const [alias = "", type = "", extensions = ""] = line.split(" ");
    const extension = extensionOf(alias);
    // IANA lists some of them as types of their own
    assert.ok(
      extension !== null && [...extensions.split(","), extensionOf(type), mime.getExtension(alias)].includes(extension),
      line,
    );
  }
});

test("no type is listed twice, and links can have every extension", () => {
  for (const [type, extension] of EXTENSIONS) {
    assert.match(type, /^[a-z]+\/[a-z0-9.+-]+$/);
    assert.match(extension, /^[a-z0-9]{1,16}$/);
    assert.equal(extensionOf(type), extension);
  }
});

test("an unknown type has no extension", () => {
  for (const type of [
    "",
    " ",
    ";",
    OCTET_STREAM,
    `${OCTET_STREAM}; x`,
    "image",
    "image/",
    "x/y",
    "__proto__",
    "constructor",
  ]) {
    assert.equal(extensionOf(type), null, type);
  }
});

test("every extension of JPEG is image/jpeg, and TypeScript is text", () => {
  for (const extension of ["jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjp", "pjpeg"]) {
    assert.equal(mediaTypeOf(extension), "image/jpeg", extension);
  }
  for (const extension of ["ts", "mts", "cts", "tsx"]) {
    assert.equal(mediaTypeOf(extension), "text/plain; charset=utf-8", extension);
  }
  assert.equal(mediaTypeOf("m2ts"), "video/mp2t");
  for (const extension of ["constructor", "toString", "__proto__", null])
    assert.equal(mediaTypeOf(extension), OCTET_STREAM);
});
