import assert from "node:assert/strict";
import { test } from "node:test";
import others from "mime/types/other.js";
import standard from "mime/types/standard.js";
import { Digest } from "../core/digest.ts";
import { Link } from "../core/link.ts";
import { isActive, servedType } from "./active-content.ts";

const DIGEST = Digest.parse("ab".repeat(32));
const linkOf = (extension: string | null): Link => Link.to(DIGEST, extension);

/** All extensions that have a media type. */
const EXTENSIONS = [standard, others]
  .flatMap((types) => Object.values(types).flat())
  .map((extension) => extension.replace("*", ""))
  .filter((extension) => linkOf(extension).extension !== null);

test("code is served as plain text", () => {
  for (const extension of [
    "js",
    "mjs",
    "cjs",
    "ecma",
    "css",
    "xsl",
    "xslt",
    "webmanifest",
    "appcache",
    "htc",
    "wasm",
    "JS",
  ]) {
    assert.equal(servedType(linkOf(extension), false), "text/plain; charset=utf-8", extension);
  }
});

test("with scripts enabled, every type is served as it is", () => {
  for (const extension of EXTENSIONS) {
    assert.equal(servedType(linkOf(extension), true), linkOf(extension).mediaType, extension);
  }
  assert.equal(servedType(linkOf("js"), true), "text/javascript; charset=utf-8");
  assert.equal(servedType(linkOf("css"), true), "text/css; charset=utf-8");
});

test("no extension leads to a type that a browser runs", () => {
  assert.ok(EXTENSIONS.length > 1000);
  for (const extension of EXTENSIONS) {
    assert.doesNotMatch(
      servedType(linkOf(extension), false),
      /javascript|ecmascript|jscript|livescript|application\/node|\/css|xslt?\b|wasm|manifest\+|cache-manifest|x-component/,
      extension,
    );
  }
});

test("all other files keep their type", () => {
  const kept = ["png", "svg", "html", "xhtml", "xml", "json", "pdf", "mp4", "txt", "md", "csv", "zip", "unknown", null];
  for (const extension of kept) {
    assert.equal(isActive(linkOf(extension)), false, String(extension));
    assert.equal(servedType(linkOf(extension), false), linkOf(extension).mediaType);
  }
});
