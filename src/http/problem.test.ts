import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import type { Answer } from "./exchange.ts";
import { problemAnswer, PROBLEMS } from "./problem.ts";

function textOf(answer: Answer): string {
  assert.equal(typeof answer.body, "string");
  return answer.body as string;
}

test("docs/errors.md explains exactly the codes that there are, each with its status", async () => {
  const text = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map((row) => [row[1], Number(row[2])]);
  const codes = Object.entries(PROBLEMS).map(([code, [status]]) => [code, status]);
  const byCode = (a: unknown[], b: unknown[]): number => String(a[0]).localeCompare(String(b[0]));
  assert.deepEqual(rows.sort(byCode), codes.sort(byCode));
});

test("a failure is told with its code, its text and its facts", () => {
  const error = new FixityError("size-limit-exceeded", "Too large.", { facts: { limit: 3 } });
  const answer = problemAnswer(error);
  assert.equal(answer.status, 413);
  assert.equal(answer.fields["Content-Type"], "application/problem+json");
  assert.deepEqual(JSON.parse(textOf(answer)), {
    type: "about:blank",
    title: "File too large",
    status: 413,
    code: "size-limit-exceeded",
    detail: "Too large.",
    limit: 3,
  });
});

test("what is no FixityError is told as an internal error, and its text stays inside", () => {
  const cause = new Error("ENOENT: /srv/secret");
  const answer = problemAnswer(cause);
  assert.equal(answer.status, 500);
  assert.doesNotMatch(textOf(answer), /secret|ENOENT/);
  assert.equal(answer.note?.error?.cause, cause);
});

test("a failure that may pass says when to come again", () => {
  for (const code of ["store-busy", "store-unavailable", "shutting-down"] as const) {
    assert.match(problemAnswer(new FixityError(code, "x")).fields["Retry-After"] ?? "", /^\d+$/);
  }
});

test("a range outside the blob is told with the blob's size", () => {
  const error = new FixityError("range-not-satisfiable", "x", { facts: { size: 10 } });
  assert.equal(problemAnswer(error).fields["Content-Range"], "bytes */10");
});
