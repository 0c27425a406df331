import assert from "node:assert/strict";
import { test } from "node:test";
import { authorityInTarget } from "./node-exchange.ts";

test("only a target in absolute form has an authority", () => {
  for (const [target, authority] of [
    ["http://a.example/uploads", "a.example"],
    ["HTTPS://a.example:8443", "a.example:8443"],
    ["ftp://a.example/x", "a.example"],
    ["http://localhost@a.example/", "localhost@a.example"],
    ["http://a.example?x=/", "a.example"],
    ["http:///x", ""],
    ["/uploads", null],
    ["//a.example/uploads", null],
    ["/uploads?u=http://a.example/", null],
    ["*", null],
    ["a.example:443", null],
  ] as const) {
    assert.equal(authorityInTarget(target), authority, target);
  }
});
