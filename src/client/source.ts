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
    // before the other iterables: web streams are not iterable in all browsers
    if ("getReader" in source) return { content: null, stream: chunksOf(source), ...NAMELESS };
    if (Symbol.asyncIterator in source) {
      assertFlowing(source);
      return { content: null, stream: source, ...NAMELESS };
    }
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

/** @throws FixityClientError `invalid-source` for a buffer that was transferred elsewhere, which would be an empty file */
function bytesOf(source: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const buffer = source instanceof ArrayBuffer ? source : source.buffer;
  if (buffer.detached) throw new FixityClientError("invalid-source", "The buffer is detached: its bytes are gone.");
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

/**
 * Refuses a stream of Node's that has ended or failed before: iterating it yields no bytes, which would be an empty file.
 *
 * @throws FixityClientError `invalid-source`
 */
function assertFlowing(
  source: AsyncIterable<Uint8Array> & { readonly readable?: unknown; readonly errored?: unknown },
): void {
  if (source.readable !== false) return;
  const cause = source.errored ?? undefined;
  throw new FixityClientError("invalid-source", "The stream has ended, failed or been closed before.", { cause });
}

/**
 * The chunks of a web stream.
 *
 * @throws FixityClientError `invalid-source` if it is locked
 */
function chunksOf(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  if (stream.locked) {
    throw new FixityClientError("invalid-source", "The stream is locked: something else reads it, or has read it.");
  }
  const wasRead = isDisturbed(stream);
  return (async function* () {
    const reader = stream.getReader();
    let isEmpty = true;
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        isEmpty = false;
        yield next.value;
      }
    } finally {
      // of a stream that has failed, cancelling only repeats its failure
      await reader.cancel().catch(() => null);
    }
    // what is left of a stream that was begun elsewhere is a file; nothing of it is a mistake
    if (isEmpty && wasRead) {
      throw new FixityClientError(
        "invalid-source",
        "The stream has been read or cancelled before: nothing is left of it.",
      );
    }
  })();
}

/** Whether a web stream has been read from or cancelled. The constructor of a response refuses such a stream (Fetch, 5.3). */
function isDisturbed(stream: ReadableStream<Uint8Array>): boolean {
  try {
    void new Response(stream);
    return false;
  } catch {
    return true;
  }
}
