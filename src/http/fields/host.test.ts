import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalHost, hostIn, isIpLiteral, isLocalhost } from "./host.ts";

test("a well-formed Host field is a host and an optional port", () => {
  for (const [field, host] of [
    ["localhost", "localhost"],
    ["localhost:3000", "localhost"],
    ["localhost:", "localhost"],
    ["LOCALHOST.:80", "LOCALHOST."],
    ["my_service:3000", "my_service"],
    ["files.example.com:99999", "files.example.com"],
    ["127.0.0.1", "127.0.0.1"],
    ["[::1]", "[::1]"],
    ["[::1]:3000", "[::1]"],
    ["[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"],
    ["[v1.fe80::a+en1]", "[v1.fe80::a+en1]"],
    ["%6cocalhost", "%6cocalhost"],
    ["", ""],
    [":80", ""],
  ] as const) {
    assert.equal(hostIn(field), host, field);
  }
});

test("a malformed Host field is null", () => {
  for (const field of [
    "a b",
    "a, b",
    "a:b",
    "a:80:90",
    "a:80 ",
    "::1",
    "[::1",
    "::1]",
    "[::1]x",
    "[::1].",
    "[::1]]",
    "[]",
    "[localhost]",
    "[127.0.0.1]",
    "[1::2::3]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "user@localhost",
    "localhost/path",
    "localhost?x",
    "localhost#x",
    "local\\host",
    "local\thost",
    'a"b',
    "<script>",
    "a%",
    "a%2",
    "a%zz",
    "b\u00fccher.example",
    "http://localhost",
  ]) {
    assert.equal(hostIn(field), null, field);
  }
});

test("a host has one canonical form, as browsers serialize it", () => {
  for (const [host, canonical] of [
    ["Files.Example.COM", "files.example.com"],
    ["localhost.", "localhost"],
    ["%6cocalhost", "localhost"],
    ["b\u00fccher.example", "xn--bcher-kva.example"],
    ["my_service", "my_service"],
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["0x7f.1", "127.0.0.1"],
    ["017700000001", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["[0:0:0:0:0:0:0:1]", "[::1]"],
    ["[::FFFF:127.0.0.1]", "[::ffff:7f00:1]"],
  ] as const) {
    assert.equal(canonicalHost(host), canonical, host);
  }
});

test("what browsers do not accept as a host has no canonical form", () => {
  for (const host of [
    "",
    ".",
    " a",
    "a b",
    "1.2.3.4.5",
    "256.1.1.1",
    "a.1",
    "[v1.a]",
    "a/b",
    "a@b",
    "a?",
    "a#",
    "a\\b",
  ]) {
    assert.equal(canonicalHost(host), null, host);
  }
  assert.equal(canonicalHost(`${"a.".repeat(127)}a`)?.length, 255);
  assert.equal(canonicalHost(`${"a.".repeat(127)}aa`), null);
});

test("IP addresses and names below localhost are recognized", () => {
  for (const host of ["127.0.0.1", "8.8.8.8", "[::1]", "[fe80::1]"]) assert.ok(isIpLiteral(host), host);
  for (const host of ["localhost", "127.0.0.1.example", "127.0.0.1.", "::1"]) assert.ok(!isIpLiteral(host), host);
  for (const host of ["localhost", "app.localhost", "a.b.localhost"]) assert.ok(isLocalhost(host), host);
  for (const host of [
    "localhost.example",
    "mylocalhost",
    ".localhost",
    "a..localhost",
    "localhost.",
    "localhost.localdomain",
  ]) {
    assert.ok(!isLocalhost(host), host);
  }
});
