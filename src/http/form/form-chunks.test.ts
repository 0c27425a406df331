import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formOf, inChunks, readForm, type SentPart } from "../../../test/helpers/forms.ts";
import { FixityError } from "../../core/errors.ts";
import { FormReader } from "./form-reader.ts";

const BOUNDARY = "--b-B";
const text = (name: string, content: string): SentPart => ({
  name,
  fileName: null,
  mediaType: null,
  content: Buffer.from(content),
});

const FORMS: Readonly<Record<string, readonly SentPart[]>> = {
  "without parts": [],
  "of empty parts": [text("", ""), { ...text("a", ""), fileName: "" }],
  "with a file between fields": [
    text("写", "\r\n"),
    {
      name: "upload",
      fileName: "🙂.png",
      mediaType: "image/png",
      content: Buffer.from("\r\n----b-A\r\r\n--\r\n\r\n-"),
    },
    text("é", "\r\n----b-"),
  ],
};

for (const [name, parts] of Object.entries(FORMS)) {
  const bytes = formOf(BOUNDARY, parts);

  test(`a form ${name} is parsed alike wherever a chunk ends`, async () => {
    for (let end = 0; end <= bytes.length; end += 1) {
      assert.deepEqual(await readForm(inChunks(bytes, [end]), BOUNDARY), parts, `end at ${end}`);
    }
  });

  test(`a form ${name} is parsed alike in chunks of any size`, async () => {
    for (let size = 1; size < 50; size += 1) {
      const chunkEnds = Array.from({ length: Math.floor(bytes.length / size) }, (_, index) => (index + 1) * size);
      assert.deepEqual(await readForm(inChunks(bytes, chunkEnds), BOUNDARY), parts, `chunks of ${size}`);
    }
  });

  test(`a form ${name} truncated anywhere is malformed, and its last part never ends`, async () => {
    // the line break behind the closing boundary may be missing
    for (let length = 0; length < bytes.length - 2; length += 1) {
      for (const chunkEnds of [[], Array.from({ length }, (_, index) => index)]) {
        const { whole, failure } = await readCut(bytes.subarray(0, length), chunkEnds);
        assert.ok(failure instanceof FixityError, `cut at ${length}`);
        assert.equal(failure.code, "malformed-form", `cut at ${length}`);
        assert.deepEqual(whole, partsBefore(length, parts), `cut at ${length}`);
      }
    }
  });
}

test("any form is parsed as it was sent, however it is split into chunks", async () => {
  const boundary = fc.stringMatching(/^[A-Za-z0-9'()+_,\-./:=? ]{0,20}[A-Za-z0-9_-]$/);
  const form = boundary.chain((boundary) =>
    fc.tuple(fc.constant(boundary), fc.array(partOf(boundary), { maxLength: 5 })),
  );
  await fc.assert(
    fc.asyncProperty(form, fc.array(fc.nat(2000)), async ([boundary, parts], places) => {
      const bytes = formOf(boundary, parts);
      const chunkEnds = places.filter((place) => place < bytes.length).toSorted((a, b) => a - b);
      assert.deepEqual(await readForm(inChunks(bytes, chunkEnds), boundary), parts);
    }),
    { numRuns: 500 },
  );
});

test("any bytes are either parsed or refused", async () => {
  const piece = fc.oneof(
    fc.constantFrom("\r\n", "\r", "\n", "--", `--${BOUNDARY}`, `\r\n--${BOUNDARY}--`, "\r\n\r\n", ":", "; ", "="),
    fc.constantFrom(
      "Content-Disposition: form-data; name=a",
      "; filename*=UTF-8''%e",
      "Content-Type: a/b",
      "\u00ff",
      "\u0000",
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 25 }), async (pieces) => {
      const bytes = Buffer.from(`--${BOUNDARY}\r\n${pieces.join("")}`, "latin1");
      try {
        assert.ok(Array.isArray(await readForm(inChunks(bytes), BOUNDARY)));
      } catch (error) {
        assert.ok(error instanceof FixityError && error.code === "malformed-form", String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

/**
 * A part with names in any script and content full of what may be taken for a boundary, but is
 * none.
 */
function partOf(boundary: string): fc.Arbitrary<SentPart> {
  const delimiter = `\r\n--${boundary}`;
  const piece = fc.oneof(
    fc.constantFrom("\r", "\n", "\r\n", "-", "--", "\r\n--", "\r\n\r\n", "--\r\n"),
    fc.nat(delimiter.length).map((length) => delimiter.slice(0, length)),
    fc.nat(delimiter.length).map((length) => delimiter.slice(-length)),
    fc.string({ unit: "binary" }),
  );
  const content = fc
    .array(piece, { maxLength: 20 })
    .map((pieces) => Buffer.from(pieces.join("")))
    .filter((content) => !Buffer.concat([Buffer.from("\r\n"), content]).includes(delimiter));
  // what browsers write for these is the same as for a quote and a line break
  const name = fc.string({ unit: "binary" }).map((name) => name.toWellFormed().replace(/%(?:22|0D|0A)/g, ""));
  const type = fc.constantFrom(null, "text/plain");
  const part = fc.record({ name, fileName: fc.option(name), mediaType: type, content }, { noNullPrototype: true });
  // with another type than text it is a file, with or without a name
  const image = fc.record(
    { name, fileName: name, mediaType: fc.constant("image/svg+xml"), content },
    { noNullPrototype: true },
  );
  return fc.oneof(part, image);
}

/** Reads a form that is cut off: the parts that were whole, and how it ended. */
async function readCut(
  bytes: Buffer,
  chunkEnds: readonly number[],
): Promise<{ readonly whole: readonly string[]; readonly failure: unknown }> {
  const form = new FormReader(inChunks(bytes, chunkEnds), BOUNDARY);
  const whole: string[] = [];
  try {
    for (let part = await form.next(); part !== null; part = await form.next()) {
      for await (const _ of part.body);
      whole.push(part.name);
    }
    return { whole, failure: null };
  } catch (failure) {
    return { whole, failure };
  }
}

/** The names of the parts whose closing delimiter lies before `length`. */
function partsBefore(length: number, parts: readonly SentPart[]): readonly string[] {
  const end = (count: number): number => formOf(BOUNDARY, parts.slice(0, count)).length - "--\r\n".length;
  return parts.filter((_, index) => end(index + 1) <= length).map(({ name }) => name);
}
