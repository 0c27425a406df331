import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { inChunks } from "../../../test/helpers/forms.ts";
import { ByteScanner } from "./byte-scanner.ts";
import { delimiterOf, HEAD_END } from "./form-reader.ts";

/** Everything between the delimiters, as a plain search in the whole would part it. */
async function split(scanner: ByteScanner, delimiter: Buffer): Promise<string[]> {
  const pieces = [""];
  for (;;) {
    const taken = scanner.take(delimiter);
    if (taken === "delimiter") pieces.push("");
    else if (taken !== "starved") pieces.push(pieces.pop() + taken.toString("latin1"));
    else if (!(await scanner.pull())) return pieces;
  }
}

for (const delimiter of [delimiterOf("-a"), delimiterOf("--"), HEAD_END]) {
  test(`${JSON.stringify(delimiter.toString())} is found wherever chunks end`, async () => {
    const piece = fc.constantFrom("\r", "\n", "-", "a", "\r\n", "\r\n--", delimiter.toString());
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat(40)), async (text, places) => {
        const chunkEnds = places.filter((place) => place <= text.length).toSorted((a, b) => a - b);
        const scanner = new ByteScanner(inChunks(Buffer.from(text), chunkEnds));
        const found = await split(scanner, delimiter);
        const wanted = text.split(delimiter.toString());
        assert.deepEqual(found.slice(0, -1), wanted.slice(0, -1));
        // what may begin another delimiter is held back at the very end
        const [last = "", wantedLast = ""] = [found.at(-1), wanted.at(-1)];
        assert.ok(wantedLast.startsWith(last) && delimiter.toString().startsWith(wantedLast.slice(last.length)));
      }),
      { numRuns: 1000 },
    );
  });
}

test("slices share memory with the chunk", async () => {
  const chunk = Buffer.from("one\r\n--bone two\r\n--b");
  const scanner = new ByteScanner(
    (async function* () {
      yield chunk;
    })(),
  );
  await scanner.pull();
  const slice = scanner.take(delimiterOf("b"));
  assert.ok(typeof slice !== "string");
  assert.equal(slice.toString(), "one");
  assert.equal(slice.buffer, chunk.buffer);
  assert.equal(slice.byteOffset, chunk.byteOffset);
});

test("an implied line break is part of a delimiter and is never returned", async () => {
  const delimiter = delimiterOf("b");
  for (const [text, pieces] of [
    ["--b.", ["", "."]],
    ["--c.", ["--c."]],
    ["-.", ["-."]],
    ["\r\n--b.", ["", "."]],
  ] as const) {
    for (const chunkEnds of [[], [1], [2], [1, 2, 3]]) {
      const scanner = new ByteScanner(
        inChunks(
          Buffer.from(text),
          chunkEnds.filter((end) => end < text.length),
        ),
      );
      scanner.imply(2);
      assert.deepEqual(await split(scanner, delimiter), pieces, `${JSON.stringify(text)} at ${chunkEnds.join()}`);
    }
  }
});
