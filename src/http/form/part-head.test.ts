import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../core/errors.ts";
import { charsetOfForm, decodeText, type PartHead, parsePartHead } from "./part-head.ts";

const DISPOSITION = 'Content-Disposition: form-data; name="upload"; filename="a.txt"';
const parse = (head: string): PartHead => parsePartHead(Buffer.from(head), null);

test("media type, charset and all header fields of a part are parsed", () => {
  const head = parse(`\r\n${DISPOSITION}\r\nContent-Type: Text/Plain; charset="iso-8859-15"\r\nX-One:1\r\nx-one:  2 `);
  const { name, fileName, mediaType, charset, fields } = head;
  assert.deepEqual(
    { name, fileName, mediaType, charset },
    {
      name: "upload",
      fileName: "a.txt",
      mediaType: "text/plain",
      charset: "iso-8859-15",
    },
  );
  assert.equal(fields.get("x-one"), "1, 2");
  assert.equal(fields.get("x-two"), undefined);
});

test("without a file name, the media type distinguishes files, data and fields", () => {
  const kindOf = (type: string): unknown => {
    const { kind, fileName } = parse(`\r\nContent-Disposition: form-data; name="upload"\r\nContent-Type: ${type}`);
    return [kind, fileName];
  };
  for (const type of ["application/octet-stream", "image/png", "image/svg+xml", "video/webm; codecs=vp8, opus"]) {
    assert.deepEqual(kindOf(type), ["file", ""], type);
  }
  for (const type of ["application/json", "Application/LD+JSON", "application/xml;x", "application/soap+xml"]) {
    assert.deepEqual(kindOf(type), ["data", ""], type);
  }
  for (const type of ["text/plain", "text/html; charset=utf-8", "TEXT/CSV", "image", "", "/"]) {
    assert.deepEqual(kindOf(type), ["field", null], type);
  }
  const named = parse(`\r\n${DISPOSITION}\r\nContent-Type: application/json`);
  assert.deepEqual([named.kind, named.fileName], ["file", "a.txt"]);
});

test("the encoding of a field does not matter", () => {
  const head = '\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64';
  assert.equal(parse(head).kind, "field");
});

test("a missing or malformed media type is null", () => {
  assert.equal(parse(`\r\n${DISPOSITION}`).mediaType, null);
  assert.equal(parse(`\r\n${DISPOSITION}\r\nContent-Type: image`).mediaType, null);
});

test("white space after the boundary and folded lines are accepted", () => {
  const head = parse(' \t\r\nContent-Disposition: form-data;\r\n\tname="upload";\r\n filename="a.txt"');
  assert.equal(head.fileName, "a.txt");
});

test("bytes that are not UTF-8 are decoded in the form's charset, or as Latin-1", () => {
  const head = Buffer.from(`\r\n${DISPOSITION.replace("a.txt", "\u00e9\u0080.txt")}`, "latin1");
  assert.equal(parsePartHead(head, null).fileName, "é€.txt");
  // in Shift_JIS, the second byte of this character is a backslash
  const japanese = Buffer.from(`\r\n${DISPOSITION.replace("a.txt", "\u0095\u005c.txt")}`, "latin1");
  assert.equal(parsePartHead(japanese, "shift_jis").fileName, "表.txt");
});

test("an identity transfer encoding may be declared; any other is refused", () => {
  for (const encoding of ["binary", "8BIT", "7bit"]) {
    assert.equal(parse(`\r\n${DISPOSITION}\r\nContent-Transfer-Encoding: ${encoding}`).name, "upload");
  }
});

const MALFORMED: readonly (readonly [what: string, head: string])[] = [
  ["no field at all", ""],
  ["no Content-Disposition", "\r\nContent-Type: text/plain"],
  ["two Content-Type", `\r\n${DISPOSITION}\r\nContent-Type: text/plain\r\nContent-Type: text/html`],
  ["two Content-Disposition", `\r\n${DISPOSITION}\r\n${DISPOSITION}`],
  ["more on the boundary's line", `x\r\n${DISPOSITION}`],
  ["a line without a colon", `\r\n${DISPOSITION}\r\nnonsense`],
  ["a field without a name", `\r\n${DISPOSITION}\r\n: a`],
  ["white space before the colon", `\r\n${DISPOSITION}\r\nContent-Type : text/plain`],
  ["a bare line feed", `\r\n${DISPOSITION}\r\nX-One: a\nX-Two: b`],
  ["a bare carriage return", `\r\n${DISPOSITION}\r\nX-One: a\rX-Two: b`],
  ["base64", `\r\n${DISPOSITION}\r\nContent-Transfer-Encoding: base64`],
  ["parts of its own", `\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=b`],
  ["quoted-printable", `\r\n${DISPOSITION}\r\nContent-Transfer-Encoding: Quoted-Printable`],
];

for (const [what, head] of MALFORMED) {
  test(`a header section is refused with ${what}`, () => {
    assert.throws(
      () => parse(head),
      (error) => error instanceof FixityError && error.code === "malformed-form",
    );
  });
}

test("text without a charset is UTF-8, or Latin-1 if it is not valid UTF-8", () => {
  assert.equal(decodeText(Buffer.from("写 🙂"), null), "写 🙂");
  assert.equal(decodeText(Buffer.from("r\u00e9sum\u00e9 \u0080", "latin1"), null), "résumé €");
  assert.equal(decodeText(Buffer.alloc(0), null), "");
});

test("a declared charset is used", () => {
  assert.equal(decodeText(Buffer.from([0x95, 0x5c]), "Shift_JIS"), "表");
  assert.equal(decodeText(Buffer.from("写"), "UTF-8"), "写");
});

test("a byte order mark is preserved", () => {
  assert.equal(decodeText(Buffer.from("\ufeffa"), "utf-8"), "\ufeffa");
  assert.equal(decodeText(Buffer.from("\ufeffa"), null), "\ufeffa");
});

test("an unknown charset counts as undeclared, and bytes that are invalid in the declared one are replaced", () => {
  assert.equal(decodeText(Buffer.from("写"), "klingon"), "写");
  assert.equal(decodeText(Buffer.from([0xe9]), ""), "é");
  assert.equal(decodeText(Buffer.from([0x61, 0xff]), "utf-8"), "a\ufffd");
});

test("a form can be in any charset that extends ASCII, under all of its labels", () => {
  assert.equal(charsetOfForm("Shift_JIS"), "shift_jis");
  assert.equal(charsetOfForm("latin1"), "windows-1252");
  for (const label of ["utf-16", "utf-16be", "utf-16le", "klingon", ""])
    assert.equal(charsetOfForm(label), null, label);
});
