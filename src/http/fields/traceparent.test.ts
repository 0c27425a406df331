import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTraceParent } from "./traceparent.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

test("the ids of a trace are read, also from later versions with more parts", () => {
  const ids = { traceId: TRACE, parentId: SPAN };
  for (const field of [`00-${TRACE}-${SPAN}-01`, ` 00-${TRACE}-${SPAN}-00 `, `cc-${TRACE}-${SPAN}-01-what-else`]) {
    assert.deepEqual(parseTraceParent(field), ids, field);
  }
});

test("a field that is absent, malformed, repeated, invalid or too long is ignored", () => {
  const valid = `00-${TRACE}-${SPAN}-01`;
  for (const field of [
    undefined,
    "",
    "00",
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}a-${SPAN}-01`,
    `${valid}, ${valid}`,
    `cc-${TRACE}-${SPAN}-01-${"x".repeat(256)}`,
    `00-${TRACE}-${SPAN}-01\nx`,
  ]) {
    assert.equal(parseTraceParent(field), null, JSON.stringify(field));
  }
});
