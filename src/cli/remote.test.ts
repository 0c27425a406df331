import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityClientError } from "../client/node.ts";
import { FixityError } from "../core/errors.ts";
import { remoteLink, remoteOf } from "./remote.ts";
import { troubleOf } from "./remote-trouble.ts";

const HEX = "0123456789abcdef".repeat(4);

test("the service is that of the flag, of FIXITY_URL, or the usual one", () => {
  const env = { FIXITY_URL: "https://files.example.com" };
  assert.equal(remoteOf({ endpoint: undefined, env: {} }).endpoint.href, "http://127.0.0.1:3000/uploads");
  assert.equal(remoteOf({ endpoint: undefined, env }).endpoint.href, "https://files.example.com/uploads");
  const flag = "https://other.example.com/a/files/?b#c";
  assert.equal(remoteOf({ endpoint: flag, env }).endpoint.href, "https://other.example.com/a/files");
  for (const endpoint of ["files.example.com", "ftp://a/", "http://user:secret@a/"]) {
    assert.throws(() => remoteOf({ endpoint, env }), { name: "FixityError", code: "invalid-option" });
  }
  assert.throws(() => remoteOf({ endpoint: undefined, env: { FIXITY_TOKEN: "two\nlines" } }), FixityError);
});

test("a link is asked where it leads, and the token goes with it at home only", () => {
  const sources = { endpoint: undefined, env: { FIXITY_URL: "https://a.example/u", FIXITY_TOKEN: "secret" } };
  const headers = { Authorization: "Bearer secret" };
  for (const [text, url, sent] of [
    [HEX, `https://a.example/u/${HEX}`, headers],
    [`sha256:${HEX}`, `https://a.example/u/${HEX}`, headers],
    [`/other/${HEX}.png?download`, `https://a.example/other/${HEX}.png?download`, headers],
    [`https://b.example/u/${HEX}`, `https://b.example/u/${HEX}`, {}],
    [`http://a.example/u/${HEX}`, `http://a.example/u/${HEX}`, {}],
    [`//b.example/u/${HEX}`, `https://b.example/u/${HEX}`, {}],
  ] as const) {
    const link = remoteLink(text, sources);
    assert.deepEqual([link.url.href, link.headers, link.digest.hex], [url, sent, HEX]);
    assert.equal(`${link.endpoint.href}/`, new URL(".", url).href);
  }
  for (const text of ["photo.png", "", `file:///u/${HEX}`, HEX.toUpperCase(), `${HEX}/`]) {
    assert.throws(() => remoteLink(text, sources), { code: "invalid-link" }, text);
  }
});

test("a failure is told with what to do about it", () => {
  const remote = remoteOf({ endpoint: "https://a.example", env: {} });
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  const cause = new TypeError("fetch failed", { cause: refused });
  assert.deepEqual(troubleOf(new FixityClientError("network-error", "x", { cause }), remote), {
    code: "network-error",
    reason: "https://a.example cannot be reached (connection refused): is it running, and is this its address?",
    isGeneral: true,
  });
  const busy = new FixityClientError("store-full", "No room is left.", { retryable: true });
  const expected = { code: "store-full", reason: "No room is left. Try again later.", isGeneral: false };
  assert.deepEqual(troubleOf(busy, remote), expected);
  assert.deepEqual(troubleOf(new SuppressedError(new Error("close"), busy), remote), expected);
  assert.equal(troubleOf(new Error("a fault of our own"), remote), null);
});
