import assert from "node:assert/strict";
import { test } from "node:test";
import { formOf, Service, type ServiceOptions, sha256 } from "../helpers/service.ts";

type Part = Parameters<typeof formOf>[0][number];

const CONTENT = "the content";
const field = (name: string, content: string, more = ""): Part => ({
  head: `Content-Disposition: form-data; name="${name}"${more}`,
  content,
});
const file = (name: string, filename: string, content: string | Uint8Array = CONTENT, more = ""): Part => ({
  head: `Content-Disposition: form-data; name="${name}"; filename="${filename}"${more}`,
  content,
});
/** What browsers send for an input in which no file was chosen. */
const unchosen = (name: string): Part => file(name, "", "", "\r\nContent-Type: application/octet-stream");
const typed = (type: string, content: string, name = "upload"): Part => ({
  head: `Content-Disposition: form-data; name="${name}"\r\nContent-Type: ${type}`,
  content,
});

interface Outcome {
  readonly status: number;
  readonly code?: string;
  /** `<first 8 of the digest's hex>.<extension>` */
  readonly url?: string;
  readonly name?: string | null;
  readonly field?: string;
}

async function send(service: Service, parts: readonly Part[]): Promise<Outcome & Record<string, unknown>> {
  const { boundary, body } = formOf(parts);
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
  const response = await fetch(`${service.url}/uploads`, { method: "POST", body, headers });
  return { status: response.status, ...((await response.json()) as Record<string, unknown>) };
}

/** Every form is stored, as this content under this name. */
async function assertStored(
  forms: Readonly<Record<string, readonly Part[]>>,
  { content = CONTENT, name, extension = "txt" }: { content?: string; name: string | null; extension?: string },
  options: ServiceOptions = {},
): Promise<void> {
  for (const [what, parts] of Object.entries(forms)) {
    await using service = await Service.start(options);
    const outcome = await send(service, parts);
    const link = `/uploads/${sha256(content)}${extension === "" ? "" : `.${extension}`}`;
    assert.deepEqual([outcome.status, outcome.url, outcome.name], [201, link, name], what);
    assert.equal(await service.count(), 1, what);
  }
}

async function assertRefused(
  forms: Readonly<Record<string, readonly Part[]>>,
  code: string,
  options: ServiceOptions = {},
): Promise<void> {
  await using service = await Service.start(options);
  for (const [what, parts] of Object.entries(forms)) {
    const outcome = await send(service, parts);
    assert.deepEqual([outcome.status, outcome.code], [400, code], what);
    assert.equal(await service.count(), 0, what);
  }
}

const A = file("upload", "a.txt");

test("a form's one file is stored, whatever its field", async () => {
  const names = ["upload", "file", "files[]", "filepond", "avatar", "写", "", "__proto__", "_charset_"];
  await assertStored(Object.fromEntries(names.map((name) => [name, [file(name, "a.txt")]])), { name: "a.txt" });
});

test("a second file with bytes is refused and nothing is stored, wherever it stands", async () => {
  const large = file("b", "b.bin", Buffer.alloc(300_000, 1));
  await assertRefused(
    {
      "same field": [A, A],
      "another field": [A, file("other", "b.png", "other")],
      "with fields between": [A, field("x", "1"), file("upload", "b.txt", "other"), field("y", "2")],
      "no file name": [A, file("upload", "", "other")],
      "no file name and a type": [A, typed("image/png", "other")],
      "no file name and a type, before": [typed("image/png", "other"), A],
      "two without a name": [typed("image/png", "1"), typed("application/octet-stream", "2")],
      "large ones": [large, large],
    },
    "unexpected-file",
  );
});

test("file inputs in which nothing was chosen are passed over", async () => {
  await assertStored(
    {
      after: [A, unchosen("avatar")],
      before: [unchosen("avatar"), A],
      "same field, after": [A, unchosen("upload"), unchosen("upload")],
      "same field, before": [unchosen("upload"), A],
      "nameless and typed": [A, typed("image/png", "")],
      "nameless and typed, before": [typed("application/octet-stream", ""), typed("application/json", ""), A],
    },
    { name: "a.txt" },
  );
});

test("a form in which no file was chosen has no file", async () => {
  const forms = {
    "no part": [],
    "fields only": [field("upload", "text"), field("x", "1")],
    "one input": [unchosen("upload")],
    "two inputs": [unchosen("a"), field("x", "1"), unchosen("b")],
    "empty data": [typed("application/json", "")],
    "text that is typed": [typed("text/plain", "hi"), typed("text/html; charset=utf-8", "hi")],
  };
  await assertRefused(forms, "missing-file");
  await assertRefused(forms, "missing-file", { fieldName: "upload" });
});

test("an empty file that has a name is stored where no other file has bytes", async () => {
  const empty = file("upload", "empty.md", "");
  await assertStored(
    {
      alone: [empty],
      "with inputs left empty": [unchosen("a"), empty, unchosen("b")],
      "the first of several": [empty, file("b", "second.txt", "")],
      "with fields": [field("x", "1"), empty, field("y", "")],
    },
    { content: "", name: "empty.md", extension: "md" },
  );
  await assertStored({ "before a file": [empty, A], "after a file": [A, empty] }, { name: "a.txt" });
});

test("an empty file is held against its digest", async () => {
  await using service = await Service.start();
  const digest = `\r\nRepr-Digest: sha-256=:${Buffer.from(sha256("x"), "hex").toString("base64")}:`;
  assert.equal((await send(service, [file("upload", "a.txt", "", digest)])).code, "digest-mismatch");
});

test("a text part with the name of the file's field is a field", async () => {
  const forms = {
    before: [field("upload", "{}"), A],
    after: [A, field("upload", "{}")],
    both: [field("upload", ""), A],
  };
  await assertStored(forms, { name: "a.txt" });
  await assertStored(forms, { name: "a.txt" }, { fieldName: "upload" });
});

test("a typed part without a file name is a file, with the extension of its type", async () => {
  for (const [type, extension] of [
    ["image/png", "png"],
    ["application/pdf", "pdf"],
    ["application/json", "json"],
    ["application/octet-stream", ""],
    ["image/svg+xml; charset=utf-8", "svg"],
    ["video/webm; codecs=vp8, opus", "webm"],
  ] as const) {
    await assertStored({ [type]: [field("x", "1"), typed(type, CONTENT)] }, { name: null, extension });
  }
});

test("JSON or XML without a file name is a parameter where the form has a file", async () => {
  for (const type of ["application/json", "application/vnd.api+json", "application/xml;charset=UTF-8"]) {
    const data = typed(type, '{"a":1}', "metadata");
    await assertStored(
      { before: [data, A], after: [A, data], "two of them": [data, data, A], "around it": [data, A, data] },
      { name: "a.txt" },
    );
    await assertStored(
      { before: [data, typed("image/png", CONTENT)], after: [typed("image/png", CONTENT), data] },
      { name: null, extension: "png" },
    );
    await assertRefused({ "two of them": [data, data] }, "unexpected-file");
    const large = typed(type, "x".repeat(70_000), "metadata");
    await assertRefused({ "a large one": [A, large] }, "form-limit-exceeded");
  }
});

test("a field that is not read cannot refuse the file", async () => {
  const latin = Buffer.from([0xe9, 0xff, 0x00]);
  const charset = (label: string): string => `\r\nContent-Type: text/plain; charset=${label}`;
  const fields: Readonly<Record<string, Part>> = {
    "an unknown charset": field("note", "hi", charset("cp850")),
    "an empty charset": field("note", "hi", charset('""')),
    "bytes that are not in the charset": { ...field("note", "", charset("utf-8")), content: latin },
    "bytes in no charset": { ...field("note", ""), content: latin },
    "a malformed type": field("note", "hi", "\r\nContent-Type: text"),
    "quoted-printable": field("note", "=E9", "\r\nContent-Transfer-Encoding: quoted-printable"),
    base64: field("note", "aGk=", "\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64"),
    "an unknown _charset_": field("_charset_", "klingon"),
    "an empty _charset_": field("_charset_", ""),
    "a _charset_ of UTF-16": field("_charset_", "utf-16le"),
    "a _charset_ that is no text": { ...field("_charset_", ""), content: latin },
  };
  await assertStored(
    Object.fromEntries(
      Object.entries(fields).flatMap(([what, part]) => [
        [`${what}, before`, [part, A]],
        [`${what}, after`, [A, part]],
      ]),
    ),
    { name: "a.txt" },
  );
});

test("a name that is not UTF-8 is in the charset of the form, or Latin-1 where that is unknown", async () => {
  const japanese = (filename: readonly number[]): Part => {
    const [before = "", after = ""] = file("upload", "|.txt").head.split("|");
    const head = Buffer.concat([Buffer.from(before), Buffer.from(filename), Buffer.from(after)]);
    return { head: head.toString("latin1"), content: CONTENT };
  };
  const latin1 = async (parts: readonly Part[]): Promise<unknown> => {
    await using service = await Service.start();
    const { boundary, body } = formOf(parts);
    const bytes = Buffer.from(body.toString("utf8"), "latin1");
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    const response = await fetch(`${service.url}/uploads`, { method: "POST", body: bytes, headers });
    return ((await response.json()) as Outcome).name;
  };
  assert.equal(await latin1([field("_charset_", "Shift_JIS"), japanese([0x95, 0x5c])]), "表.txt");
  assert.equal(await latin1([field("_charset_", "klingon"), japanese([0xe9])]), "é.txt");
  assert.equal(await latin1([field("_charset_", "utf-16"), japanese([0xe9])]), "é.txt");
});

test("an encoded file, or one with parts of its own, is refused: other bytes would be stored", async () => {
  const mixed = "\r\nContent-Type: multipart/mixed; boundary=inner";
  await assertRefused(
    {
      base64: [file("upload", "a.txt", "aGk=", "\r\nContent-Transfer-Encoding: base64")],
      "base64 without a file name": [typed("image/png\r\nContent-Transfer-Encoding: base64", "aGk=")],
      "parts of its own": [field("upload", "--inner\r\n\r\nx\r\n--inner--", mixed)],
    },
    "malformed-form",
  );
});

test("with a field name set, files in other fields are refused unless they are empty", async () => {
  const options = { fieldName: "upload" };
  await assertStored(
    {
      alone: [A],
      "an input left empty": [unchosen("avatar"), A],
      "an empty file": [A, file("avatar", "b.txt", "")],
      "data in another field": [typed("application/json", "{}", "meta"), A],
    },
    { name: "a.txt" },
    options,
  );
  await assertRefused(
    { alone: [file("avatar", "b.txt")], before: [file("avatar", "b.txt"), A], after: [A, file("avatar", "b.txt")] },
    "unexpected-file",
    options,
  );
  await assertRefused({ "an empty file": [file("avatar", "b.txt", "")] }, "missing-file", options);
  await using service = await Service.start(options);
  assert.equal((await send(service, [field("upload", "text")])).field, "upload");
});
