import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cleanFileName } from "../../core/file-name.ts";
import { fileNameOf, formatDisposition } from "./content-disposition.ts";

test("the file name is parsed in each of its forms", () => {
  assert.equal(fileNameOf('attachment; filename="a b.txt"'), "a b.txt");
  assert.equal(fileNameOf("attachment; filename=a.txt"), "a.txt");
  assert.equal(fileNameOf('ATTACHMENT; FileName="a \\"b\\" \\\\ c.txt"'), 'a "b" \\ c.txt');
  assert.equal(fileNameOf("attachment; filename*=UTF-8''%E5%86%99%E7%9C%9F.png"), "写真.png");
  assert.equal(fileNameOf("attachment; filename*=ISO-8859-1'de'%FCber.txt"), "über.txt");
});

test("filename* takes precedence over filename in either order, unless it cannot be decoded", () => {
  assert.equal(fileNameOf("attachment; filename=\"e.txt\"; filename*=UTF-8''%C3%A9.txt"), "é.txt");
  assert.equal(fileNameOf("attachment; filename*=UTF-8''%C3%A9.txt; filename=\"e.txt\""), "é.txt");
  for (const malformed of ["UTF-8''%ZZ", "UTF-8''%C3", "EBCDIC''a", "a.txt", "UTF-8'%41"]) {
    assert.equal(fileNameOf(`attachment; filename*=${malformed}; filename="e.txt"`), "e.txt", malformed);
  }
});

test("raw UTF-8 is decoded; other bytes are Latin-1", () => {
  const onTheWire = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
  assert.equal(fileNameOf(onTheWire('attachment; filename="写真 🙂.png"')), "写真 🙂.png");
  assert.equal(fileNameOf('attachment; filename="r\u00e9sum\u00e9.txt"'), "résumé.txt");
});

test("a field without a name has none", () => {
  const nameless = [undefined, "", "attachment", "attachment;", "attachment; name=a", 'inline; filename=""'];
  for (const text of [...nameless, "attachment; filename=", "attachment; filename*=UTF-8''%ZZ"]) {
    assert.equal(fileNameOf(text), null, text);
  }
});

test("the type is ignored and may be missing", () => {
  for (const type of ["", "attachment; ", "inline;", 'form-data; name="upload"; ', "x; "]) {
    assert.equal(fileNameOf(`${type}filename="a.png"`), "a.png");
  }
  assert.equal(fileNameOf("filename*=UTF-8''%C3%A9.png"), "é.png");
});

test("names are parsed as in forms: paths, unescaped quotes, a quoted filename*", () => {
  assert.equal(fileNameOf('attachment; filename="C:\\dir\\new.png"'), "C:\\dir\\new.png");
  assert.equal(fileNameOf('attachment; filename="te"st.png"'), 'te"st.png');
  assert.equal(fileNameOf("attachment; filename*=\"UTF-8''%C3%A9.png\""), "é.png");
  assert.equal(fileNameOf("attachment; filename=my photo.png"), "my photo.png");
  assert.equal(fileNameOf('attachment; filename="=?utf-8?B?5YaZLnBuZw==?="'), "写.png");
});

test("a field that is malformed or gives two names is refused", () => {
  const malformed = ['attachment; filename="a', ";;;", "=;=", "attachment; a", 'attachment; filename="a"b'];
  const twice = [
    'attachment; filename="a.png"; filename="b.png"',
    "attachment; filename=a.png; FILENAME=a.png",
    'attachment; filename="a.png", attachment; filename="b.png"',
    "attachment; filename=a.png, attachment; filename=b.png",
    "attachment; filename*=UTF-8''a; filename*=UTF-8''b",
    'attachment; filename="a" b.png"; filename="c.exe"',
    'attachment; filename="a"b"; name="c" filename="d.exe"',
  ];
  for (const text of [...malformed, ...twice]) {
    assert.throws(() => fileNameOf(text), { code: "invalid-field" }, text);
  }
});

test("a plain ASCII name is sent as it is", () => {
  assert.equal(formatDisposition("inline", null), "inline");
  assert.equal(formatDisposition("attachment", "photo.jpg"), "attachment; filename=photo.jpg");
  assert.equal(formatDisposition("inline", "my photo.jpg"), 'inline; filename="my photo.jpg"');
});

test("other names are sent twice: exactly, and as an ASCII fallback", () => {
  const photo = formatDisposition("attachment", "写真🙂.png");
  assert.equal(photo, "attachment; filename=___.png; filename*=UTF-8''%E5%86%99%E7%9C%9F%F0%9F%99%82.png");
  const quoted = formatDisposition("inline", '100% "a".txt');
  assert.equal(quoted, "inline; filename=\"100_ _a_.txt\"; filename*=UTF-8''100%25%20%22a%22.txt");
});

test("a name cannot end the field, add a parameter or break the encoding", () => {
  assert.equal(
    formatDisposition("inline", 'a\r\nSet-Cookie: b=c".txt'),
    formatDisposition("inline", 'aSet-Cookie: b=c".txt'),
  );
  assert.equal(
    formatDisposition("inline", "a\ud800b.txt"),
    "inline; filename=a_b.txt; filename*=UTF-8''a%EF%BF%BDb.txt",
  );
  assert.equal(formatDisposition("attachment", "\u0000\u202e"), "attachment");
  assert.ok(formatDisposition("attachment", `${"é".repeat(10_000)}.png`).length < 2000);
});

test("any formatted name is parsed back", () => {
  const name = fc.string({ unit: "binary", maxLength: 300 });
  fc.assert(
    fc.property(name, (name) => {
      const text = formatDisposition("attachment", name);
      assert.match(text, /^[\x20-\x7e]*$/);
      assert.equal(fileNameOf(text), cleanFileName(name));
    }),
  );
});

test("any text is either parsed or refused", () => {
  const pieces = fc.constantFrom("filename", "filename*", "=", ";", '"', "\\", "UTF-8''", "%", "41", " ", "é", "写");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      try {
        const name = fileNameOf(`attachment;${parts.join("")}`);
        assert.ok(name === null || (typeof name === "string" && name !== ""));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "invalid-field");
      }
    }),
  );
});
