/**
 * Forms whose lines end with a line feed alone, as hand-written ones do: the error says what is
 * wrong with them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../core/errors.ts";
import { FormReader } from "./form-reader.ts";

const HEAD = 'Content-Disposition: form-data; name="upload"; filename="a.txt"';
const FIELD = 'Content-Disposition: form-data; name="note"';
const LARGE = "x".repeat(100_000);

async function read(form: string, chunkSize: number): Promise<void> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from(form);
    for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
  }
  const reader = new FormReader(chunks(), "b");
  for (let part = await reader.next(); part !== null; part = await reader.next()) {
    if (part.fileName === null) await part.text();
  }
}

for (const [what, form] of [
  ["every line", `--b\n${HEAD}\n\nhello\n--b--\n`],
  ["every line, with a large file", `--b\n${HEAD}\n\n${LARGE}\n--b--\n`],
  ["the line of the first boundary", `--b\n${HEAD}\r\n\r\nhello\r\n--b--\r\n`],
  ["a header line", `--b\r\n${HEAD}\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n`],
  ["the lines of a header section", `--b\r\n${HEAD}\n\nhello\r\n--b--\r\n`],
  ["the line before the closing boundary", `--b\r\n${HEAD}\r\n\r\nhello\n--b--\r\n`],
  [
    "the line before a boundary, behind a field",
    `--b\r\n${FIELD}\r\n\r\nhello\n--b\r\n${HEAD}\r\n\r\n${LARGE}\r\n--b--\r\n`,
  ],
  ["the line before the first boundary", `preamble\n--b\n${HEAD}\n\nhello\n--b--\n`],
] as const) {
  for (const chunkSize of [Infinity, 1024]) {
    test(`${what}, in ${chunkSize === Infinity ? "one chunk" : "chunks"}: malformed-form, and lines end with CRLF`, async () => {
      await assert.rejects(read(form, Math.min(chunkSize, form.length)), (error: unknown) => {
        assert.ok(error instanceof FixityError);
        assert.equal(error.code, "malformed-form");
        assert.match(error.message, /lines (of a form )?end with CRLF/);
        return true;
      });
    });
  }
}

test("a header section that is too large is over the limit if its lines end with CRLF", async () => {
  const form = `--b\r\n${HEAD}\r\nX-Long: ${LARGE}\r\n\r\nhello\r\n--b--\r\n`;
  await assert.rejects(read(form, form.length), { code: "form-limit-exceeded" });
});

test("line feeds in a file and in a field are content", async () => {
  await read(`--b\r\n${FIELD}\r\n\r\na\nb\n--c\r\n--b\r\n${HEAD}\r\n\r\na\n\n--c\n\r\n--b--\r\n`, 7);
});
