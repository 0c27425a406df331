import assert from "node:assert/strict";
import { test } from "node:test";
import { needManualRedirects, redirectTarget, safeWhenFollowed } from "./service.ts";

test("a redirect has a relative or absolute target, and any other response has none", () => {
  for (const status of [301, 302, 303, 307, 308]) {
    assert.equal(redirectTarget("http://a.test/x/y", status, "z"), "http://a.test/x/z");
    assert.equal(redirectTarget("http://a.test/x", status, "//b.test/z"), "http://b.test/z");
    assert.equal(redirectTarget("http://a.test/x", status, null), null);
  }
  for (const status of [200, 201, 206, 300, 304, 404]) {
    assert.equal(redirectTarget("http://a.test/x", status, "http://b.test/"), null);
  }
});

test("a redirect leaves neither http(s) nor https for http", () => {
  assert.equal(redirectTarget("http://a.test/", 307, "https://b.test/"), "https://b.test/");
  for (const [from, location] of [
    ["https://a.test/", "http://a.test/"],
    ["https://a.test/", "http://b.test/"],
    ["http://a.test/", "file:///etc/passwd"],
    ["http://a.test/", "data:,x"],
    ["http://a.test/", "javascript:alert(1)"],
    ["http://a.test/", "http://"],
  ] as const) {
    assert.throws(() => redirectTarget(from, 307, location), {
      code: "unexpected-answer",
      status: 307,
      retryable: false,
    });
  }
});

test("a browser may follow redirects only with fields that it keeps from other origins", () => {
  const safe = { Authorization: "Bearer secret", ACCEPT: "*/*" };
  assert.equal(needManualRedirects(safe), false);
  for (const name of ["X-Api-Key", "x-csrf-token", "Proxy-Authorization", "Content-Type"]) {
    assert.equal(needManualRedirects({ ...safe, [name]: "secret" }), true, name);
    assert.deepEqual(safeWhenFollowed({ ...safe, [name]: "secret" }), safe, name);
  }
});
