import assert from "node:assert/strict";
import { test } from "node:test";
import { Digest } from "../../core/digest.ts";
import { Link } from "../../core/link.ts";
import { isInert } from "../serving.ts";
import { previewOf } from "./preview.ts";

const DIGEST = Digest.parse("ab".repeat(32));
const MIB = 1024 ** 2;
const kindOf = (extension: string | null, size = 1000): string => previewOf(Link.to(DIGEST, extension), size).kind;

const KINDS: Readonly<Record<string, readonly string[]>> = {
  image: ["png", "jpg", "jpeg", "jfif", "jif", "pjp", "pjpeg", "gif", "webp", "avif", "bmp", "ico", "svg"],
  video: ["mp4", "webm", "mov"],
  audio: ["mp3", "wav", "ogg", "m4a", "flac"],
  text: [
    "txt",
    "md",
    "html",
    "css",
    "js",
    "mjs",
    "json",
    "xml",
    "csv",
    "yaml",
    "xhtml",
    "webmanifest",
    "sh",
    "sql",
    "toml",
    "ts",
    "mts",
  ],
  none: ["pdf", "zip", "exe", "tiff", "heic", "psd", "docx", "swf", "unknown"],
};
for (const [kind, extensions] of Object.entries(KINDS)) {
  test(`previewed as ${kind}: ${extensions.join(", ")}`, () => {
    assert.deepEqual(
      extensions.map((extension) => [extension, kindOf(extension)]),
      extensions.map((extension) => [extension, kind]),
    );
  });
}

test("a file without an extension has no preview", () => assert.equal(kindOf(null), "none"));

test("the content of a frame is requested as plain text, which the service serves as such", () => {
  for (const extension of KINDS["text"] ?? []) {
    const preview = previewOf(Link.to(DIGEST, extension), 1000);
    assert.ok(preview.kind === "text");
    assert.equal(preview.source.mediaType, "text/plain; charset=utf-8");
    assert.ok(isInert(preview.source.mediaType));
  }
});

test("images and texts have a preview up to a size, videos of any size, and empty files none", () => {
  assert.deepEqual([kindOf("png", 32 * MIB), kindOf("png", 32 * MIB + 1)], ["image", "none"]);
  assert.deepEqual([kindOf("txt", MIB), kindOf("txt", MIB + 1)], ["text", "none"]);
  assert.equal(kindOf("mp4", 1024 * 1024 * MIB), "video");
  assert.deepEqual(previewOf(Link.to(DIGEST, "png"), 0), { kind: "none", reason: "The file is empty." });
});
