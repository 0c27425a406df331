import { FixityClientError } from "./errors.ts";
import type { Content, Platform } from "./platform.ts";
import type { UploadSource } from "./types.ts";

/** What is known of a source besides its bytes. */
export interface SourceFacts {
  readonly name: string | null;
  readonly type: string | null;
  /** What tells a file from others of its size and time; `null` for what cannot be known again. */
  readonly identity: string | null;
  /** Milliseconds since 1970, or `null`. */
  readonly lastModified: number | null;
}

/** A source, ready to be read: as a whole from anywhere, or once from its beginning. */
export type OpenedSource = SourceFacts &
  (
    | { readonly content: Content; readonly stream: null }
    | { readonly content: null; readonly stream: AsyncIterable<Uint8Array> }
  );

const NAMELESS: SourceFacts = { name: null, type: null, identity: null, lastModified: null };

/** @throws FixityClientError `invalid-source` */
export async function openSource(source: UploadSource, platform: Platform): Promise<OpenedSource> {
  if (typeof source === "string" || source instanceof URL) {
    const { content, name, identity, lastModified } = await platform.openFile(source);
    return { content, stream: null, name, type: null, identity, lastModified };
  }
  if (source instanceof Blob) return { content: source as unknown as Content, stream: null, ...factsOf(source) };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { content: platform.join([bytesOf(source)]), stream: null, ...NAMELESS };
  }
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return { content: null, stream: source, ...NAMELESS };
    // not yet iterable in every browser
    if ("getReader" in source) return { content: null, stream: chunksOf(source), ...NAMELESS };
  }
  throw new FixityClientError("invalid-source", "This can not be uploaded: give a File, a Blob, bytes or a stream.");
}

function factsOf(blob: Blob): SourceFacts {
  const type = blob.type === "" ? null : blob.type;
  if (!(blob instanceof File)) return { ...NAMELESS, type };
  // folders are given by their files, which may have the same names
  const { name, lastModified, webkitRelativePath } = blob as File & { readonly webkitRelativePath?: string };
  return { name, type, identity: webkitRelativePath || name, lastModified };
}

function bytesOf(source: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel();
  }
}
