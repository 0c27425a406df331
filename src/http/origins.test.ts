import assert from "node:assert/strict";
import { test } from "node:test";
import { areSafe, crossSiteRefusal, isCrossSite, type TrustedOrigins } from "./origins.ts";

type Fields = Readonly<Record<string, string>>;

const APP = "https://app.example.com";
const NONE: TrustedOrigins = { origins: new Set(), own: null };
const LISTED: TrustedOrigins = { origins: new Set([APP]), own: "https://files.example.com" };

function isRefused(fields: Fields, authority: string | undefined, trusted: TrustedOrigins): boolean {
  return isCrossSite({ fields: { get: (name) => fields[name] }, authority }, trusted);
}

test("clients other than browsers pass: they send neither Origin nor Sec-Fetch-Site", () => {
  for (const authority of ["localhost:3000", "files.example.com", "", undefined]) {
    assert.ok(!isRefused({}, authority, NONE));
    assert.ok(!isRefused({ referer: "https://evil.example/", cookie: "a=b" }, authority, NONE));
  }
});

for (const [site, passes] of [
  ["same-origin", true],
  ["none", true],
  ["same-site", false],
  ["cross-site", false],
  ["", false],
  ["Same-Origin", false],
  ["same-origin, same-origin", false],
  ["same-origin, cross-site", false],
  ["anything", false],
] as const) {
  test(`Sec-Fetch-Site: ${site} ${passes ? "passes" : "is refused"}, whatever Origin says`, () => {
    const fields = { "sec-fetch-site": site };
    for (const origin of ["http://localhost:3000", "http://localhost:5173", "https://evil.example", "null", ""]) {
      assert.equal(isRefused({ ...fields, origin }, "localhost:3000", NONE), !passes, origin);
    }
    assert.equal(isRefused(fields, "localhost:3000", NONE), !passes);
  });
}

for (const [origin, authority, passes] of [
  ["http://localhost:3000", "localhost:3000", true],
  ["http://localhost:3000", "LOCALHOST:3000", true],
  ["http://LocalHost:3000", "localhost:3000", true],
  ["http://localhost", "localhost", true],
  ["http://localhost", "localhost:80", true],
  ["http://localhost:80", "localhost", true],
  ["https://files.example.com", "files.example.com", true],
  ["https://files.example.com", "files.example.com:443", true],
  ["http://files.example.com", "files.example.com", true],
  ["https://files.example.com:8443", "files.example.com:8443", true],
  ["http://127.0.0.1:3000", "127.0.0.1:3000", true],
  ["http://[::1]:3000", "[::1]:3000", true],
  ["http://[::1]:3000", "[0:0:0:0:0:0:0:1]:3000", true],
  ["http://localhost.:3000", "localhost.:3000", true],
  ["http://localhost:3000", "localhost.:3000", false],
  ["http://localhost:5173", "localhost:3000", false],
  ["http://localhost:3000", "127.0.0.1:3000", false],
  ["http://localhost", "localhost:443", false],
  ["https://localhost", "localhost:80", false],
  ["https://files.example.com:443", "files.example.com:80", false],
  ["https://evil.example", "files.example.com", false],
  ["https://files.example.com.evil.example", "files.example.com", false],
  ["https://files.example.com", undefined, false],
  ["https://files.example.com", "", false],
  ["null", "null", false],
  ["null", "localhost:3000", false],
  ["", "", false],
  ["file://", "localhost", false],
  ["capacitor://localhost", "localhost", false],
  ["chrome-extension://localhost", "localhost", false],
  ["http://localhost/", "localhost", false],
  ["http://localhost/x", "localhost", false],
  ["http://user@localhost", "localhost", false],
  ["http://localhost, http://evil.example", "localhost", false],
  ["http://evil.example", "evil.example/@localhost", false],
  ["http://evil.example", "localhost@evil.example", false],
  ["http://evil.example", "evil.example\\@localhost", false],
  ["http://a b", "a b", false],
] as const) {
  test(`without Sec-Fetch-Site, Origin ${origin} at Host ${authority} ${passes ? "passes" : "is refused"}`, () => {
    assert.equal(isRefused({ origin }, authority, NONE), !passes);
  });
}

test("an allowed origin passes, whatever Sec-Fetch-Site says", () => {
  for (const site of [{}, { "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }] as Fields[]) {
    for (const origin of [APP, "https://files.example.com"]) {
      assert.ok(!isRefused({ ...site, origin }, "fixity:3000", LISTED), origin);
    }
    for (const origin of [
      "http://app.example.com",
      `${APP}:8443`,
      `${APP}, ${APP}`,
      `x.${APP}`,
      "null",
      "https://evil.example",
    ]) {
      assert.ok(isRefused({ ...site, origin }, "fixity:3000", LISTED), origin);
    }
    for (const origin of [APP, "null", "https://evil.example", ""]) {
      assert.ok(!isRefused({ ...site, origin }, "fixity:3000", { origins: "*", own: null }), origin);
    }
  }
  assert.ok(
    isRefused({ "sec-fetch-site": "cross-site" }, "fixity:3000", LISTED),
    "a list does not allow the absence of Origin",
  );
  assert.ok(!isRefused({ "sec-fetch-site": "cross-site" }, "fixity:3000", { origins: "*", own: null }));
});

test("a bearer token exempts a request, other credentials do not", () => {
  const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  for (const authorization of ["Bearer a-token", "bearer a-token"]) {
    assert.ok(!isRefused({ ...foreign, authorization }, "localhost", NONE), authorization);
  }
  for (const authorization of ["Basic YTpi", "Bearer", "Bearer ", "Digest a=b", ""]) {
    assert.ok(isRefused({ ...foreign, authorization }, "localhost", NONE), authorization);
  }
  assert.ok(isRefused({ ...foreign, cookie: "session=1" }, "localhost", NONE));
});

test("only GET, HEAD and OPTIONS are safe", () => {
  for (const method of ["GET", "HEAD", "OPTIONS"]) assert.ok(areSafe("GET", method), method);
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "TRACE", "get", ""]) {
    assert.ok(!areSafe("GET", method), method);
    assert.ok(!areSafe(method, "OPTIONS"), method);
  }
});

test("long origins and hosts are refused without parsing", () => {
  const long = `http://xn--${"a".repeat(16_000)}`;
  assert.ok(isRefused({ origin: long }, long.slice(7), NONE));
  assert.ok(isRefused({ origin: "http://a" }, `a${" ".repeat(16_000)}`, NONE));
});

test("a refusal names the origin, if it is valid, and what allows it", () => {
  const refusal = (origin: string) =>
    crossSiteRefusal(
      { fields: { get: (name) => (name === "origin" ? origin : undefined) }, authority: "a" },
      (allowed) => (allowed === null ? "Nothing can be listed." : `List ${allowed}.`),
    );
  const named = refusal("https://evil.example");
  assert.equal(named.code, "cross-site-request");
  assert.match(named.message, /https:\/\/evil\.example, .* List https:\/\/evil\.example\.$/);
  assert.deepEqual(named.facts, { origin: "https://evil.example" });
  for (const origin of ["null", "", "<script>", "http://a b", `http://${"a".repeat(400)}`]) {
    const { message, facts } = refusal(origin);
    assert.match(message, /^A page of another site made .* Nothing can be listed\.$/);
    assert.deepEqual(facts, {});
  }
});
