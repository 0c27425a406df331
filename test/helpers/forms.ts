import { type FormLimits, FormReader, resolveFormLimits } from "../../src/http/form/form-reader.ts";

/** A part as a test sends it. */
export interface SentPart {
  readonly name: string;
  readonly fileName: string | null;
  readonly mediaType: string | null;
  readonly content: Buffer;
}

/** A form as browsers write it (WHATWG HTML, "multipart/form-data encoding algorithm"). */
export function formOf(boundary: string, parts: readonly SentPart[]): Buffer {
  const pieces: Buffer[] = [];
  for (const { name, fileName, mediaType, content } of parts) {
    const file = fileName === null ? "" : `; filename="${escaped(fileName)}"`;
    const type = mediaType === null ? "" : `\r\nContent-Type: ${mediaType}`;
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(name)}"${file}${type}\r\n\r\n`;
    pieces.push(Buffer.from(head), content, Buffer.from("\r\n"));
  }
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]);
}

function escaped(name: string): string {
  return name.replace(/\r/g, "%0D").replace(/\n/g, "%0A").replace(/"/g, "%22");
}

/** The bytes in chunks that end at `ends`, each in its own memory, as from a network. */
export async function* inChunks(bytes: Uint8Array, chunkEnds: readonly number[] = []): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const end of [...chunkEnds, bytes.length]) {
    yield Uint8Array.from(bytes.subarray(start, end));
    start = end;
  }
}

/** Reads a form to its end. */
export async function readForm(
  content: AsyncIterable<Uint8Array>,
  boundary: string | undefined,
  limits: FormLimits = {},
): Promise<SentPart[]> {
  const form = new FormReader(content, boundary, resolveFormLimits(limits));
  const parts: SentPart[] = [];
  for (let part = await form.next(); part !== null; part = await form.next()) {
    const slices: Uint8Array[] = [];
    for await (const slice of part.body) slices.push(slice);
    const { name, fileName, mediaType } = part;
    parts.push({ name, fileName, mediaType, content: Buffer.concat(slices) });
  }
  return parts;
}
