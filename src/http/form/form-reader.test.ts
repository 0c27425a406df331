import assert from "node:assert/strict";
import { test } from "node:test";
import { formOf, inChunks, readForm, type SentPart } from "../../../test/helpers/forms.ts";
import { type ErrorCode, FixityError } from "../../core/errors.ts";
import type { FormPart } from "./form-part.ts";
import { delimiterOf, type FormLimits, FormReader, resolveFormLimits } from "./form-reader.ts";

const BOUNDARY = "----x";
const FILE = part("upload", "hello", { fileName: "a.txt", mediaType: "text/plain" });
const NOTE = part("note", "some text");

function part(name: string, content: string | Buffer, more: Partial<SentPart> = {}): SentPart {
  return { name, fileName: null, mediaType: null, content: Buffer.from(content), ...more };
}

function reader(parts: readonly SentPart[], limits: FormLimits = {}): FormReader {
  return new FormReader(inChunks(formOf(BOUNDARY, parts)), BOUNDARY, resolveFormLimits(limits));
}

async function nextOf(form: FormReader): Promise<FormPart> {
  const part = await form.next();
  assert.ok(part !== null);
  return part;
}

function fails(code: ErrorCode, facts: Record<string, number> = {}): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof FixityError, String(error));
    assert.equal(error.code, code, error.message);
    assert.deepEqual(error.facts, facts);
    return true;
  };
}

const read = async (text: string, boundary = BOUNDARY): Promise<SentPart[]> =>
  readForm(inChunks(Buffer.from(text, "latin1")), boundary);

test("parts are returned in order with their metadata", async () => {
  const parts = [NOTE, FILE, part("empty", ""), part("upload", "", { fileName: "" })];
  assert.deepEqual(await readForm(inChunks(formOf(BOUNDARY, parts)), BOUNDARY), parts);
});

test("the header fields of a part can be read", async () => {
  const form = reader([FILE]);
  const { fields } = await nextOf(form);
  assert.equal(fields.get("content-type"), "text/plain");
  assert.equal(fields.get("repr-digest"), undefined);
});

test("a form without parts is complete, and next() keeps returning null", async () => {
  const form = reader([]);
  assert.equal(await form.next(), null);
  assert.equal(await form.next(), null);
});

test("a preamble, an epilogue and white space after boundaries are skipped", async () => {
  const head = 'Content-Disposition: form-data; name="a"\r\n\r\n';
  const text = `preamble\r\n--${BOUNDARY} \t\r\n${head}1\r\n--${BOUNDARY} \r\n${head}2\r\n--${BOUNDARY}--`;
  for (const epilogue of ["", "\r\n", "\r\nepilogue\r\n\r\n", `\r\n--${BOUNDARY}\r\n${head}`]) {
    const parts = await read(text + epilogue);
    assert.deepEqual(
      parts.map(({ content }) => content.toString()),
      ["1", "2"],
    );
  }
});

test("a form may begin with an empty line, and a part may end with its header section", async () => {
  const head = 'Content-Disposition: form-data; name="a"\r\n\r\n';
  const parts = await read(`\r\n--${BOUNDARY}\r\n${head}--${BOUNDARY}\r\n${head}\r\n--${BOUNDARY}--`);
  assert.deepEqual(parts, [part("a", ""), part("a", "")]);
});

test("content that looks like a boundary is content", async () => {
  const content = `--${BOUNDARY.slice(1)}\r\n--${BOUNDARY.slice(0, -1)}\r\r\n--\n--${BOUNDARY}\r--${BOUNDARY}\r\n\r\n-`;
  const parts = [part("upload", content, { fileName: "a" })];
  assert.deepEqual(await readForm(inChunks(formOf(BOUNDARY, parts)), BOUNDARY), parts);
});

test("the text of a field can be read twice", async () => {
  const note = await nextOf(reader([NOTE]));
  assert.equal(await note.text(), "some text");
  assert.equal(await note.text(), "some text");
});

test("a field is decoded in the charset it declares, otherwise in that of _charset_", async () => {
  const japanese = Buffer.from([0x95, 0x5c]);
  const declared = part("b", Buffer.from([0xa4]), { mediaType: "text/plain; charset=iso-8859-15" });
  for (const asked of [true, false]) {
    const form = reader([part("_charset_", "Shift_JIS"), part("a", japanese), declared]);
    const first = await nextOf(form);
    if (asked) assert.equal(await first.text(), "Shift_JIS");
    assert.equal(await (await nextOf(form)).text(), "表");
    assert.equal(await (await nextOf(form)).text(), "€");
  }
  const unknown = await nextOf(reader([part("a", "1", { mediaType: "text/plain; charset=klingon" })]));
  assert.equal(await unknown.text(), "1");
});

test("the unread rest of a part is skipped", async () => {
  const large = part("upload", Buffer.alloc(300_000, `\r\n--${BOUNDARY.slice(1)}`), { fileName: "a" });
  const bytes = formOf(BOUNDARY, [large, large, NOTE]);
  const chunkEnds = Array.from({ length: 9 }, (_, index) => (index + 1) * 65_536);
  const form = new FormReader(inChunks(bytes, chunkEnds), BOUNDARY);
  await form.next();
  let seen = 0;
  for await (const slice of (await nextOf(form)).body) {
    seen += slice.length;
    if (seen > 100_000) break;
  }
  assert.ok(seen < large.content.length);
  assert.equal(await (await nextOf(form)).text(), "some text");
  assert.equal(await form.next(), null);
});

test("isEmpty() works before the body is read, wherever chunks end", async () => {
  const parts = [part("a", "", { fileName: "a" }), part("b", "bytes", { fileName: "b" }), part("c", "")];
  const bytes = formOf(BOUNDARY, parts);
  for (let end = 0; end < bytes.length; end += 1) {
    const form = new FormReader(inChunks(bytes, [end]), BOUNDARY);
    const found: unknown[] = [];
    for (let next = await form.next(); next !== null; next = await form.next()) {
      const isEmpty = await next.isEmpty();
      const content = Buffer.concat(await Array.fromAsync(next.body));
      found.push([isEmpty, content.toString()]);
    }
    assert.deepEqual(
      found,
      parts.map(({ content }) => [content.length === 0, content.toString()]),
    );
  }
});

test("a part that is not empty is skipped if its body is not read", async () => {
  const form = reader([FILE, NOTE]);
  const file = await nextOf(form);
  assert.equal(await file.isEmpty(), false);
  assert.equal(await (await nextOf(form)).text(), "some text");
  assert.throws(() => file.body[Symbol.asyncIterator](), fails("internal-error"));
  await assert.rejects(file.isEmpty(), fails("internal-error"));
});

test("nothing is pulled before it is needed", async () => {
  const bytes = formOf(BOUNDARY, [FILE, NOTE]);
  const at = bytes.indexOf("hello");
  let pulled = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of inChunks(bytes, [at, at + 2, at + 5])) {
      pulled += 1;
      yield chunk;
    }
  }
  const form = new FormReader(counted(), BOUNDARY);
  assert.equal(pulled, 0);
  const slices = (await nextOf(form)).body[Symbol.asyncIterator]();
  assert.equal(pulled, 1);
  await slices.next();
  assert.equal(pulled, 2);
});

test("the reader does not close the content, and passes its failure on", async () => {
  let closed = false;
  const failure = new FixityError("upload-aborted", "gone");
  const chunks = [formOf(BOUNDARY, [FILE]).subarray(0, -12)];
  const content: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = chunks.shift();
        if (value === undefined) throw failure;
        return { done: false, value };
      },
      return: async () => {
        closed = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const form = new FormReader(content, BOUNDARY);
  await nextOf(form);
  await assert.rejects(form.next(), (error) => error === failure);
  assert.equal(closed, false);
});

test("a form cannot be read further after a failure", async () => {
  const form = new FormReader(inChunks(Buffer.from(`--${BOUNDARY}\r\nnonsense\r\n\r\n--${BOUNDARY}--`)), BOUNDARY);
  await assert.rejects(form.next(), fails("malformed-form"));
  await assert.rejects(form.next(), fails("internal-error"));
});

test("a body can be read once, and not after the next part has been requested", async () => {
  const form = reader([FILE, FILE, FILE]);
  const first = await nextOf(form);
  for await (const _ of first.body);
  assert.throws(() => first.body[Symbol.asyncIterator](), fails("internal-error"));
  const second = await nextOf(form);
  const slices = second.body[Symbol.asyncIterator]();
  const third = await nextOf(form);
  await assert.rejects(slices.next(), fails("internal-error"));
  await assert.rejects(third.text(), fails("internal-error"));
});

test("two concurrent readers are refused", async () => {
  const { promise: never } = Promise.withResolvers<IteratorResult<Uint8Array>>();
  const form = new FormReader({ [Symbol.asyncIterator]: () => ({ next: () => never }) }, BOUNDARY);
  void form.next();
  await assert.rejects(form.next(), fails("internal-error"));
  const bytes = formOf(BOUNDARY, [FILE]);
  const slow = new FormReader(inChunks(bytes, [bytes.indexOf("llo")]), BOUNDARY);
  const slices = (await nextOf(slow)).body[Symbol.asyncIterator]();
  await slices.next();
  const pending = assert.rejects(slices.next(), fails("internal-error"));
  await assert.rejects(slow.next(), fails("internal-error"));
  await pending;
});

test("a missing or wrong boundary is refused", async () => {
  assert.throws(() => new FormReader(inChunks(Buffer.alloc(0)), undefined), fails("malformed-form"));
  const bytes = formOf(BOUNDARY, [part("upload", Buffer.alloc(100_000), { fileName: "a" })]);
  await assert.rejects(readForm(inChunks(bytes), "----y"), fails("malformed-form"));
  await assert.rejects(readForm(inChunks(bytes.subarray(0, 1000)), "----y"), fails("malformed-form"));
  await assert.rejects(readForm(inChunks(bytes), "----"), fails("malformed-form"), "the beginning of the boundary");
});

test("bare line feeds do not end lines", async () => {
  const text = formOf(BOUNDARY, [FILE]).toString().replaceAll("\r\n", "\n");
  await assert.rejects(read(text), fails("malformed-form"));
});

const LIMITS: readonly (readonly [limit: keyof FormLimits, within: SentPart[], over: SentPart[]])[] = [
  ["parts", [FILE, FILE, NOTE], [FILE, FILE, NOTE, FILE]],
  ["fields", [NOTE, FILE, NOTE, NOTE], [NOTE, NOTE, FILE, NOTE, NOTE]],
  ["fieldSize", [part("a", "123"), FILE], [part("a", "1234")]],
];

for (const [limit, within, over] of LIMITS) {
  test(`${limit}: the limit is accepted, one more is refused`, async () => {
    const limits = { [limit]: 3 };
    assert.deepEqual(await readForm(inChunks(formOf(BOUNDARY, within)), BOUNDARY, limits), within);
    await assert.rejects(
      readForm(inChunks(formOf(BOUNDARY, over)), BOUNDARY, limits),
      fails("form-limit-exceeded", { limit: 3 }),
    );
  });
}

test("fieldSize: a field over the limit is refused even if it is not read", async () => {
  const form = reader([part("a", "1234"), FILE], { fieldSize: 3 });
  await form.next();
  await assert.rejects(form.next(), fails("form-limit-exceeded", { limit: 3 }));
});

test("headSize: a header section is limited, in one chunk or in several", async () => {
  const bytes = formOf(BOUNDARY, [FILE]);
  const size = bytes.indexOf("\r\n\r\n") - `--${BOUNDARY}`.length;
  for (const chunkEnds of [[], [20, 40, 60]]) {
    assert.deepEqual(await readForm(inChunks(bytes, chunkEnds), BOUNDARY, { headSize: size }), [FILE]);
    await assert.rejects(
      readForm(inChunks(bytes, chunkEnds), BOUNDARY, { headSize: size - 1 }),
      fails("form-limit-exceeded", { limit: size - 1 }),
    );
  }
});

test("outsideSize: preamble and epilogue are limited", async () => {
  const bytes = formOf(BOUNDARY, [FILE]);
  const limits = { outsideSize: 10 };
  const after = (text: string): Buffer => Buffer.concat([bytes, Buffer.from(text)]);
  const before = (text: string): Buffer => Buffer.concat([Buffer.from(text), bytes]);
  assert.deepEqual(await readForm(inChunks(before("12345678\r\n")), BOUNDARY, limits), [FILE]);
  await assert.rejects(readForm(inChunks(before("123456789ab\r\n")), BOUNDARY, limits), fails("malformed-form"));
  // two hyphens and the line break behind the boundary count as well
  assert.deepEqual(await readForm(inChunks(after("123456")), BOUNDARY, limits), [FILE]);
  for (const text of ["1234567", "\r\n".repeat(5)]) {
    await assert.rejects(
      readForm(inChunks(after(text)), BOUNDARY, limits),
      fails("form-limit-exceeded", { limit: 10 }),
    );
  }
});

test("a limit that is not a number is refused", () => {
  assert.throws(() => reader([], { parts: Number.NaN }), fails("invalid-option"));
  assert.throws(() => reader([], { fieldSize: -1 }), fails("invalid-option"));
});

test("boundaries of real senders are accepted", () => {
  for (const boundary of ["x", "----WebKitFormBoundary7MA4", "=_Part 1:2/3?(4)'5+6,7.8", "#".repeat(200)]) {
    assert.equal(delimiterOf(boundary).toString(), `\r\n--${boundary}`);
  }
});

test("a missing or invalid boundary is refused", () => {
  for (const boundary of [undefined, "", " ", "a ", "a\r\nb", "a\u0000", "é", "#".repeat(201)]) {
    assert.throws(
      () => delimiterOf(boundary),
      (error) => error instanceof FixityError && error.code === "malformed-form",
      boundary,
    );
  }
});
