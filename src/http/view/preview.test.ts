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
  test(`shown as ${kind}: ${extensions.join(", ")}`, () => {
    assert.deepEqual(
      extensions.map((extension) => [extension, kindOf(extension)]),
      extensions.map((extension) => [extension, kind]),
    );
  });
}

test("without an extension nothing is shown", () => assert.equal(kindOf(null), "none"));

test("what is put into a frame is asked for as plain text, which the service shows as nothing else", () => {
  for (const extension of KINDS["text"] ?? []) {
    const preview = previewOf(Link.to(DIGEST, extension), 1000);
    assert.ok(preview.kind === "text");
    assert.equal(preview.source.mediaType, "text/plain; charset=utf-8");
    assert.ok(isInert(preview.source.mediaType));
  }
});

test("images and texts are shown up to a size, videos of any, and empty files not at all", () => {
  assert.deepEqual([kindOf("png", 32 * MIB), kindOf("png", 32 * MIB + 1)], ["image", "none"]);
  assert.deepEqual([kindOf("txt", MIB), kindOf("txt", MIB + 1)], ["text", "none"]);
  assert.equal(kindOf("mp4", 1024 * 1024 * MIB), "video");
  assert.deepEqual(previewOf(Link.to(DIGEST, "png"), 0), { kind: "none", reason: "The file is empty." });
});
