import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityClientError } from "../client/node.ts";
import { FixityError } from "../core/errors.ts";
import { remoteLink, remoteOf } from "./remote.ts";
import { explainFailure } from "./remote-failure.ts";

/** A user who has logged in nowhere. */
const NO_LOGINS = { XDG_CONFIG_HOME: "/nowhere" };
const HEX = "0123456789abcdef".repeat(4);

test("the service is that of the flag, of FIXITY_URL, or the default one", () => {
  const env = { FIXITY_URL: "https://files.example.com" };
  assert.equal(remoteOf({ endpoint: undefined, env: NO_LOGINS }).endpoint.href, "http://127.0.0.1:3000/uploads");
  assert.equal(remoteOf({ endpoint: undefined, env }).endpoint.href, "https://files.example.com/uploads");
  const flag = "https://other.example.com/a/files/?b#c";
  assert.equal(remoteOf({ endpoint: flag, env }).endpoint.href, "https://other.example.com/a/files");
  for (const endpoint of [
    "",
    "ftp://a/",
    "http://user:secret@a/",
    "user:secret@a",
    "javascript:alert(1)",
    "http:a",
    "a b",
  ]) {
    assert.throws(() => remoteOf({ endpoint, env }), { name: "FixityError", code: "invalid-option" });
  }
  for (const [endpoint, url] of [
    ["files.example.com", "https://files.example.com/uploads"],
    ["files.example.com:8443/files", "https://files.example.com:8443/files"],
    ["192.168.0.7:3000", "https://192.168.0.7:3000/uploads"],
    ["localhost:3000", "http://localhost:3000/uploads"],
    ["127.0.0.1:3000", "http://127.0.0.1:3000/uploads"],
    ["[::1]:3000", "http://[::1]:3000/uploads"],
    ["a.localhost", "http://a.localhost/uploads"],
    ["localhost.example.com", "https://localhost.example.com/uploads"],
    ["HTTP://a", "http://a/uploads"],
  ] as const) {
    assert.equal(remoteOf({ endpoint, env }).endpoint.href, url);
    assert.equal(remoteOf({ endpoint: undefined, env: { FIXITY_URL: endpoint } }).endpoint.href, url);
  }
  assert.throws(() => remoteOf({ endpoint: undefined, env: { FIXITY_TOKEN: "two\nlines" } }), FixityError);
});

test("a link is resolved against the service, and the token is sent only to its origin", () => {
  const sources = { endpoint: undefined, env: { FIXITY_URL: "https://a.example/u", FIXITY_TOKEN: "secret" } };
  const headers = { Authorization: "Bearer secret" };
  for (const [text, url, sent] of [
    [HEX, `https://a.example/u/${HEX}`, headers],
    [`sha256:${HEX}`, `https://a.example/u/${HEX}`, headers],
    [`/other/${HEX}.png?download`, `https://a.example/other/${HEX}.png?download`, headers],
    [`https://b.example/u/${HEX}`, `https://b.example/u/${HEX}`, {}],
    [`http://a.example/u/${HEX}`, `http://a.example/u/${HEX}`, {}],
    [`//b.example/u/${HEX}`, `https://b.example/u/${HEX}`, {}],
    [`https://a.example/u/${HEX}.png?view`, `https://a.example/u/${HEX}.png`, headers],
    [`${HEX}?view&filename=a.png#top`, `https://a.example/u/${HEX}?filename=a.png`, headers],
    [`${HEX}#top`, `https://a.example/u/${HEX}`, headers],
    [`a.example/u/${HEX}`, `https://a.example/u/${HEX}`, headers],
    [`b.example:8443/u/${HEX}`, `https://b.example:8443/u/${HEX}`, {}],
    [`localhost:3000/u/${HEX}`, `http://localhost:3000/u/${HEX}`, {}],
    [`127.0.0.1:3000/u/${HEX}`, `http://127.0.0.1:3000/u/${HEX}`, {}],
    [`more/${HEX}`, `https://a.example/u/more/${HEX}`, headers],
  ] as const) {
    const link = remoteLink(text, sources);
    assert.deepEqual([link.url.href, link.headers, link.digest.hex], [url, sent, HEX]);
    assert.equal(`${link.endpoint.href}/`, new URL(".", url).href);
  }
  for (const text of ["photo.png", "", `file:///u/${HEX}`, HEX.toUpperCase(), `${HEX}/`]) {
    assert.throws(() => remoteLink(text, sources), { code: "invalid-link" }, text);
  }
});

test("a failure is reported with advice", () => {
  const remote = remoteOf({ endpoint: "https://a.example", env: {} });
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  const cause = new TypeError("fetch failed", { cause: refused });
  assert.deepEqual(explainFailure(new FixityClientError("network-error", "x", { cause }), remote), {
    code: "network-error",
    reason: "https://a.example cannot be reached (connection refused): is it running, and is this its address?",
    affectsAll: true,
  });
  const busy = new FixityClientError("store-full", "No room is left.", { retryable: true });
  const expected = { code: "store-full", reason: "No room is left. Try again later.", affectsAll: false };
  assert.deepEqual(explainFailure(busy, remote), expected);
  assert.deepEqual(explainFailure(new SuppressedError(new Error("close"), busy), remote), expected);
  assert.equal(explainFailure(new Error("a fault of our own"), remote), null);
});
