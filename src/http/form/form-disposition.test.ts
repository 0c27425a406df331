import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../../core/errors.ts";
import { parseFormDisposition } from "./form-disposition.ts";

const fileNameIn = (parameters: string): string | null =>
  parseFormDisposition(`form-data; name=f; ${parameters}`).fileName;

test("fields and files are told apart by the file name, be it empty", () => {
  assert.deepEqual(parseFormDisposition('form-data; name="a"'), { name: "a", fileName: null });
  assert.deepEqual(parseFormDisposition('form-data; name="a"; filename="b.txt"'), { name: "a", fileName: "b.txt" });
  assert.deepEqual(parseFormDisposition('form-data; name=""; filename=""'), { name: "", fileName: "" });
});

test("names without quotes, in any case and with stray white space are read", () => {
  const read = parseFormDisposition(" Form-Data ;\tNAME = upload ; FileName=my photo.jpg ;");
  assert.deepEqual(read, { name: "upload", fileName: "my photo.jpg" });
});

test("quotes and line breaks come back as browsers escape them, backslashes and other percent signs as they are", () => {
  assert.equal(fileNameIn('filename="a%22b%0D%0Ac%25%20.txt"'), 'a"b\r\nc%25%20.txt');
  assert.equal(fileNameIn('filename="C:\\new\\table.txt"'), "C:\\new\\table.txt");
  assert.equal(fileNameIn('filename="ends with \\"'), "ends with \\");
  const name = parseFormDisposition('form-data; name="ends with \\"; filename="b"');
  assert.deepEqual(name, { name: "ends with \\", fileName: "b" });
});

test("backslash escapes of old curl are understood where nothing else makes sense", () => {
  assert.equal(fileNameIn('filename="a\\"b\\\\c;d%22.txt"'), 'a"b\\c;d%22.txt');
});

test("filename* wins where it can be decoded, before or after filename", () => {
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

test("what is not of the grammar is refused", () => {
  const malformed = ['name="a', 'name="a"b', 'name="a" filename="b"', "name", "=a", 'name="a"; name="b"', "filename=a"];
  for (const text of ["", "form-data", ...malformed.map((part) => `form-data; ${part}`), 'attachment; name="a"']) {
    assert.throws(
      () => parseFormDisposition(text),
      (error) => error instanceof FixityError && error.code === "malformed-form",
      text,
    );
  }
});

test("any text is read or refused, nothing else", () => {
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
