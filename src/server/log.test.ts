import assert from "node:assert/strict";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { loggedPath, LogOutput } from "./log.ts";

test("a logged path has no query and only visible ASCII", () => {
  assert.equal(loggedPath("/uploads?filename=secret"), "/uploads");
  assert.equal(loggedPath("/a\u001b[2Jb\nc\u0085d é"), "/a%1B[2Jb%0Ac%C2%85d%20%C3%A9");
  assert.equal(loggedPath("/\ud800"), "/%EF%BF%BD");
});

test("a logged path has only the first 8 digits of an upload's id, however long it is", () => {
  const id = "0123456789abcdef0123456789abcdef";
  assert.equal(loggedPath(`/uploads/in-progress/${id}`), "/uploads/in-progress/01234567…");
  for (let length = 150; length < 200; length += 1) {
    const logged = loggedPath(`/${"x".repeat(length)}/in-progress/${id}`);
    assert.ok(!logged.includes(id.slice(0, 9)), logged);
  }
});

test("a long path is cut", () => {
  const logged = loggedPath(`/${"x".repeat(10_000)}`);
  assert.equal(logged.length, 201);
  assert.ok(logged.endsWith("…"));
});

const LINE = `${"x".repeat(1023)}\n`;

/** An output without a reader, and the numbers of dropped lines that it reports. */
function unread(): { stream: PassThrough; output: LogOutput; dropped: number[] } {
  const stream = new PassThrough();
  const dropped: number[] = [];
  return { stream, output: new LogOutput(stream, (lines) => dropped.push(lines)), dropped };
}

function flushed(output: LogOutput): Promise<void> {
  return new Promise((resolve) => output.flush(resolve));
}

test("lines are written at once", () => {
  const { stream, output, dropped } = unread();
  output.write("one\n");
  output.write("two\n");
  assert.equal(String(stream.read()), "one\ntwo\n");
  assert.deepEqual(dropped, []);
});

test("a slow reader gets a mebibyte; further lines are dropped, counted, and reported when it reads again", async () => {
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

test("a reader that is gone is not an error, and lines for it are dropped", async () => {
  const { stream, output } = unread();
  output.write(LINE);
  stream.destroy(new Error("EPIPE"));
  await new Promise((resolve) => {
    stream.once("close", resolve);
  });
  for (let line = 0; line < 100; line += 1) output.write(LINE);
  await flushed(output);
});

test("a flush waits for the last lines, but only for a short time", async () => {
  const { stream, output } = unread();
  for (let line = 0; line < 100; line += 1) output.write(LINE);
  await flushed(output);
  assert.ok(stream.writableLength > 0);
});

test("lines that wait are written in pieces of whole lines, of at most 4 KiB unless one line is longer", async () => {
  const pieces: string[] = [];
  const accept: (() => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (piece: string, _encoding, done) => {
      pieces.push(piece);
      accept.push(done);
    },
  });
  const output = new LogOutput(stream, () => assert.fail("nothing is dropped"));
  const lines = Array.from({ length: 200 }, (_, index) => `${"é".repeat((index * 37) % 700)}${index}\n`);
  lines.push(`${"x".repeat(10_000)}\n`, "last\n");
  for (const line of lines) output.write(line);
  while (accept.length > 0) {
    accept.shift()?.();
    await setImmediate();
  }
  assert.equal(pieces.join(""), lines.join(""));
  for (const piece of pieces) {
    assert.ok(piece.endsWith("\n"));
    assert.ok(Buffer.byteLength(piece) <= 4096 || piece.indexOf("\n") === piece.length - 1);
  }
  assert.ok(pieces.length < lines.length / 4, `${pieces.length} writes`);
});
