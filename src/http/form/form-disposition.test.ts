import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../../core/errors.ts";
import { parseFormDisposition } from "./part-head.ts";

const fileNameIn = (parameters: string): string | null =>
  parseFormDisposition(`form-data; name=f; ${parameters}`).fileName;

test("a file name, even an empty one, distinguishes files from fields", () => {
  assert.deepEqual(parseFormDisposition('form-data; name="a"'), { name: "a", fileName: null });
  assert.deepEqual(parseFormDisposition('form-data; name="a"; filename="b.txt"'), { name: "a", fileName: "b.txt" });
  assert.deepEqual(parseFormDisposition('form-data; name=""; filename=""'), { name: "", fileName: "" });
});

test("names are parsed without quotes, in any case and with stray white space", () => {
  const read = parseFormDisposition(" Form-Data ;\tNAME = upload ; FileName=my photo.jpg ;");
  assert.deepEqual(read, { name: "upload", fileName: "my photo.jpg" });
});

test("quotes and line breaks are unescaped as browsers escape them; backslashes and other percent signs stay", () => {
  assert.equal(fileNameIn('filename="a%22b%0D%0Ac%25%20.txt"'), 'a"b\r\nc%25%20.txt');
  assert.equal(fileNameIn('filename="C:\\new\\table.txt"'), "C:\\new\\table.txt");
  assert.equal(fileNameIn('filename="ends with \\"'), "ends with \\");
  const name = parseFormDisposition('form-data; name="ends with \\"; filename="b"');
  assert.deepEqual(name, { name: "ends with \\", fileName: "b" });
});

test("backslash escapes of old curl are decoded if the field is malformed otherwise", () => {
  assert.equal(fileNameIn('filename="a\\"b\\\\c;d%22.txt"'), 'a"b\\c;d%22.txt');
});

test("unescaped quotes are part of the file name if both grammars fail", () => {
  const names: readonly (readonly [parameters: string, name: string])[] = [
    ['filename="my "best" photo.png"', 'my "best" photo.png'],
    ['filename="12" record.png"', '12" record.png'],
    ['filename=""quoted".txt"', '"quoted".txt'],
    ['filename="a"";', 'a"'],
    ['filename="a; "b"; c.txt"', 'a; "b"; c.txt'],
    ['filename="a "b" c.txt"; size=12', 'a "b" c.txt'],
    ['size="12"; filename="a "b".txt" ; modification-date="Wed, 12 Feb 1997 16:29:51 -0500"', 'a "b".txt'],
    ['filename="a "b".txt"; filename*=UTF-8\'\'c.txt', "c.txt"],
    ['filename="C:\\dir\\a "b".txt"', 'C:\\dir\\a "b".txt'],
  ];
  for (const [parameters, name] of names) assert.equal(fileNameIn(parameters), name, parameters);
  const before = parseFormDisposition('form-data; filename="a "b".txt"; name="f"');
  assert.deepEqual(before, { name: "f", fileName: 'a "b".txt' });
});

test("unescaped quotes cannot inject parameters", () => {
  for (const parameters of [
    'filename="a" b"; name="g"',
    'filename="a" b"; filename="c.exe"',
    'filename="a" b"; filename=c.exe',
    'filename="a" filename="b"',
    'filename="a "b"; name="g" c"',
    'filename="a "b" name="g"',
    'filename="a "b; filename*=UTF-8\'\'c" d"',
    'filename="a "b".png',
    'filename="a"b',
    'x="1"; x="2"; filename="a"',
  ]) {
    assert.throws(() => fileNameIn(parameters), { code: "malformed-form" }, parameters);
  }
  assert.throws(() => parseFormDisposition('form-data; name="a" b"; filename="c"'), { code: "malformed-form" });
});

test("a name that consists of encoded words is decoded", () => {
  const names: readonly (readonly [sent: string, name: string])[] = [
    ["=?utf-8?B?5YaZLnBuZw==?=", "写.png"],
    ["=?UTF-8?b?5YaZLnBuZw?=", "写.png"],
    ["=?iso-8859-1?Q?a_=E9=5F.txt?=", "a é_.txt"],
    ["=?utf-8*en?q?=C3=A9?=", "é"],
    ["=?utf-8?B?5YY=?= =?utf-8?B?mQ==?=\t=?utf-8?Q?.png?=", "写.png"],
    ["=?Shift_JIS?B?lVw=?= =?utf-8?Q?.png?=", "表.png"],
    ["=?utf-8?Q??=", ""],
  ];
  for (const [sent, name] of names) assert.equal(fileNameIn(`filename="${sent}"`), name, sent);
  for (const sent of [
    "=?klingon?B?5YaZ?=",
    "=?utf-8?B?/w==?=",
    "=?utf-8?X?a?=",
    "a =?utf-8?B?5YaZ?=",
    "=?utf-8?B?5YaZ?=.png",
    "=?utf-8?B?5YaZ",
    "=??=",
  ]) {
    assert.equal(fileNameIn(`filename="${sent}"`), sent, sent);
  }
  assert.equal(fileNameIn("filename=\"=?utf-8?Q?a?=\"; filename*=UTF-8''b"), "b");
});

test("filename* takes precedence if it can be decoded, before or after filename", () => {
  const extended = "filename*=UTF-8''%E5%86%99.png";
  assert.equal(fileNameIn(extended), "写.png");
  assert.equal(fileNameIn(`${extended}; filename="a.png"`), "写.png");
  assert.equal(fileNameIn(`filename="a.png"; ${extended}`), "写.png");
  assert.equal(fileNameIn("filename*=iso-8859-1'en'%e9.txt"), "é.txt");
  for (const malformed of ["UTF-8''%ZZ", "UTF-8''%E0%A4%A", "x-none''a", "a"]) {
    assert.equal(fileNameIn(`filename="a.png"; filename*=${malformed}`), "a.png", malformed);
    assert.equal(fileNameIn(`filename*=${malformed}`), "", malformed);
  }
});

test("a malformed disposition is refused", () => {
  const malformed = ['name="a', 'name="a"b', 'name="a" filename="b"', "name", "=a", 'name="a"; name="b"', "filename=a"];
  for (const text of ["", "form-data", ...malformed.map((part) => `form-data; ${part}`), 'attachment; name="a"']) {
    assert.throws(
      () => parseFormDisposition(text),
      (error) => error instanceof FixityError && error.code === "malformed-form",
      text,
    );
  }
});

test("any text is either parsed or refused", () => {
  const pieces = fc.constantFrom("name", "filename", "filename*", "=", ";", '"', "\\", "%22", "%", "UTF-8''", " ", "é");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      try {
        assert.equal(typeof parseFormDisposition(`form-data; ${parts.join("")}`).name, "string");
      } catch (error) {
        assert.ok(error instanceof FixityError && error.code === "malformed-form");
      }
    }),
    { numRuns: 500 },
  );
});
