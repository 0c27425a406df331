import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import type { Answer } from "./exchange.ts";
import { problemAnswer } from "./problem.ts";

function textOf(answer: Answer): string {
  assert.equal(typeof answer.body, "string");
  return answer.body as string;
}

test("a failure is reported with its code, message and facts", () => {
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

test("any other error is reported as an internal error, without its message", () => {
  const cause = new Error("ENOENT: /srv/secret");
  const answer = problemAnswer(cause);
  assert.equal(answer.status, 500);
  assert.doesNotMatch(textOf(answer), /secret|ENOENT/);
  assert.equal(answer.note?.error?.cause, cause);
});

test("a temporary failure has Retry-After", () => {
  for (const code of ["store-busy", "store-unavailable", "shutting-down"] as const) {
    assert.match(problemAnswer(new FixityError(code, "x")).fields["Retry-After"] ?? "", /^\d+$/);
  }
});

test("an unsatisfiable range is answered with the blob's size", () => {
  const error = new FixityError("range-not-satisfiable", "x", { facts: { size: 10 } });
  assert.equal(problemAnswer(error).fields["Content-Range"], "bytes */10");
});
