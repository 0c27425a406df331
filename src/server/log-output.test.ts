import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { LogOutput } from "./log-output.ts";

const LINE = `${"x".repeat(1023)}\n`;

/** An output whose reader has not read anything yet, and how many lines it was told that it has dropped. */
function unread(): { stream: PassThrough; output: LogOutput; dropped: number[] } {
  const stream = new PassThrough();
  const dropped: number[] = [];
  return { stream, output: new LogOutput(stream, (lines) => dropped.push(lines)), dropped };
}

function flushed(output: LogOutput): Promise<void> {
  return new Promise((resolve) => output.flush(resolve));
}

test("lines are written as they come", () => {
  const { stream, output, dropped } = unread();
  output.write("one\n");
  output.write("two\n");
  assert.equal(String(stream.read()), "one\ntwo\n");
  assert.deepEqual(dropped, []);
});

test("for a reader who reads nothing a mebibyte is held; what is dropped is counted, and told when he reads again", async () => {
  const { stream, output, dropped } = unread();
  for (let line = 0; line < 3000; line += 1) output.write(LINE);
  assert.deepEqual(dropped, []);
  let read = 0;
  stream.on("data", (bytes: Buffer) => (read += bytes.length));
  await flushed(output);
  const held = read / LINE.length;
  assert.ok(held >= 1024 && held < 1100, `${held}`);
  output.write("again\n");
  output.write("and again\n");
  assert.deepEqual(dropped, [3000 - held]);
});

test("a reader who is gone is no error, and nothing is held for him", async () => {
  const { stream, output } = unread();
  output.write(LINE);
  stream.destroy(new Error("EPIPE"));
  await new Promise((resolve) => {
    stream.once("close", resolve);
  });
  for (let line = 0; line < 100; line += 1) output.write(LINE);
  await flushed(output);
});

test("the last lines are waited for, but for a moment only", async () => {
  const { stream, output } = unread();
  for (let line = 0; line < 100; line += 1) output.write(LINE);
  await flushed(output);
  assert.ok(stream.writableLength > 0);
});
