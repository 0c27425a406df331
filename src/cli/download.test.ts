import assert from "node:assert/strict";
import { posix, win32 } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { localName } from "./download.ts";

const NAMES: readonly (readonly [given: string | null, expected: string | null])[] = [
  [null, null],
  ["photo.png", "photo.png"],
  ["Größe und 写真.pdf", "Größe und 写真.pdf"],
  ["../../etc/passwd", "passwd"],
  ["/etc/cron.d/job", "job"],
  ["C:\\Windows\\system.ini", "system.ini"],
  ["..", null],
  [".", null],
  ["a/..", null],
  ["", null],
  [".bashrc", "_bashrc"],
  ["..hidden", "_.hidden"],
  ["-rf", "_rf"],
  ["--output=x", "_-output=x"],
  ["line\nbreak\u0000.txt", "linebreak.txt"],
  ["evil\u202egnp.exe", "evilgnp.exe"],
];

test("a name from a server leads out of no folder, hides no file and is no option", () => {
  for (const [given, expected] of NAMES) assert.equal(localName(given, "linux"), expected);
});

test("a name that is too long is cut between characters, and keeps its extension", () => {
  const long = localName(`${"写".repeat(120)}.jpeg`, "linux") ?? "";
  assert.equal(long, `${"写".repeat(83)}.jpeg`);
  assert.ok(Buffer.byteLength(long) <= 255);
  assert.equal(localName(`${"a".repeat(250)}.jpeg`, "linux"), `${"a".repeat(250)}.jpeg`);
});

test("on Windows a name is not a drive, stream or device, and keeps its ending", () => {
  assert.equal(localName("C:evil.txt", "win32"), "C_evil.txt");
  assert.equal(localName("a.txt:hidden", "win32"), "a.txt_hidden");
  assert.equal(localName("nul.txt", "win32"), "_nul.txt");
  assert.equal(localName("COM1", "win32"), "_COM1");
  assert.equal(localName("common.txt", "win32"), "common.txt");
  assert.equal(localName("a. ", "win32"), "a_");
});

test("any name becomes one segment of at most 255 bytes", () => {
  for (const [platform, path] of [
    ["linux", posix],
    ["win32", win32],
  ] as const) {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (given) => {
        const name = localName(given, platform);
        if (name === null) return;
        assert.equal(path.basename(name), name);
        assert.equal(path.dirname(path.resolve("/folder", name)), path.resolve("/folder"));
        assert.ok(Buffer.byteLength(name) <= 255);
        assert.doesNotMatch(name, /^[.-]|[\u0000-\u001f]/);
      }),
      { numRuns: 50 },
    );
  }
});
