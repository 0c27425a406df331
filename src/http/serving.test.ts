import assert from "node:assert/strict";
import { test } from "node:test";
import { Digest } from "../core/digest.ts";
import { Link } from "../core/link.ts";
import { savedName } from "./serving.ts";

const nameFor = (extension: string | null, name: string): string | null =>
  savedName(Link.to(Digest.parse("ab".repeat(32)), extension), name);

test("a name cannot make a picture a program: the link's extension is appended", () => {
  for (const [name, saved] of [
    ["setup.exe", "setup.exe.png"],
    ["setup.EXE", "setup.EXE.png"],
    ["photo.png.exe", "photo.png.exe.png"],
    ["page.html", "page.html.png"],
    ["drawing.svg", "drawing.svg.png"],
    ["run.js", "run.js.png"],
    ["run.bat", "run.bat.png"],
    ["paper.pdf", "paper.pdf.png"],
    ["setup.exe.", "setup.exe..png"],
    ["setup.exe . ", "setup.exe ..png"],
    ["setup.exe..", "setup.exe...png"],
    ["notes.txt.", "notes.txt..png"],
    ["folder.{20d04fe0-3aea-1069-a2d8-08002b30309d}", "folder.{20d04fe0-3aea-1069-a2d8-08002b30309d}.png"],
    ["version 1.2 final", "version 1.2 final.png"],
  ] as const) {
    assert.equal(nameFor("png", name), saved);
  }
});

test("a name keeps an extension that is the link's, of the same type, or inert", () => {
  for (const [extension, name] of [
    ["png", "photo.png"],
    ["png", "photo.PNG"],
    ["png", "photo.jpg"],
    ["png", "photo.txt"],
    ["htm", "page.html"],
    ["exe", "setup.exe"],
    ["gz", "archive.tar.gz"],
    ["js", "app.mjs"],
    ["png", "Makefile"],
    ["png", ".hidden"],
    ["png", "写真"],
  ] as const) {
    assert.equal(nameFor(extension, name), name);
  }
});

test("unknown types do not count as the same type", () => assert.equal(nameFor("bin", "setup.exe"), "setup.exe.bin"));

test("without an extension of the link, a name keeps its own", () =>
  assert.equal(nameFor(null, "Report.pdf"), "Report.pdf"));

test("a long name keeps the appended extension", () => {
  const saved = nameFor("png", `${"a".repeat(300)}.exe`);
  assert.equal(saved?.length, 255);
  assert.match(saved ?? "", /a\.png$/);
});

test("an invalid name is null", () => {
  for (const name of ["", "..", "/", "\u202e"]) assert.equal(nameFor("png", name), null);
});
