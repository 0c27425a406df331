import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Query } from "./request.ts";

const NAMES = ["filename", "download", "view", "signature", "file name", ""];

test("a query has what URLSearchParams finds, however it is written", () => {
  const word = fc.constantFrom(...NAMES, "v%69ew", "file+name", "%66ilename", "a", "=", "&", "b%20c", "%", "é");
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      const text = words.join("");
      const query = new Query(text);
      const expected = new URLSearchParams(text);
      for (const name of NAMES) {
        assert.equal(query.has(name), expected.has(name), `${name} in ${text}`);
        assert.equal(query.get(name), expected.get(name), `${name} in ${text}`);
      }
      assert.deepEqual([...query], [...expected]);
    }),
  );
});
