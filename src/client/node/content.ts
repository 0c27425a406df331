/** The contents of Node: bytes in memory, and files that are read by their paths. */
import { openAsBlob } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { FixityClientError, sourceChanged } from "../errors.ts";
import type { Content, NamedBlob, NamedFile } from "../platform.ts";

/** Bytes that are read and sent at a time. */
const CHUNK_BYTES = 256 * 1024;
/** A file up to this size is read into memory when it is opened. */
const IN_MEMORY_MAX_BYTES = 256 * 1024;

/** Bytes in memory. */
export class BytesContent implements Content {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Whether it is one chunk. */
  get isShort(): boolean {
    return this.size <= CHUNK_BYTES;
  }

  slice(start: number, end: number): BytesContent {
    return new BytesContent(this.bytes.subarray(start, end));
  }

  async *stream(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    for (let at = 0; at < this.size; at += CHUNK_BYTES) yield this.bytes.subarray(at, at + CHUNK_BYTES);
  }
}

/** The state of a file when it was opened, to detect changes. */
interface FileState {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** A range of a file. */
class FileContent implements Content {
  readonly #state: FileState;
  readonly #start: number;
  readonly #end: number;

  constructor(state: FileState, start: number, end: number) {
    this.#state = state;
    this.#start = start;
    this.#end = end;
  }

  get size(): number {
    return this.#end - this.#start;
  }

  slice(start: number, end: number): FileContent {
    return new FileContent(this.#state, this.#start + start, Math.min(this.#start + end, this.#end));
  }

  /**
   * Rejects with `source-changed` also if another file has replaced the one that was opened.
   */
  async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await open(this.#state.path).catch((cause: unknown) => {
      throw sourceChanged(cause);
    });
    try {
      const { size, mtimeMs } = await file.stat();
      if (size !== this.#state.size || mtimeMs !== this.#state.mtimeMs) throw sourceChanged();
      for (let at = this.#start; at < this.#end;) {
        const length = Math.min(CHUNK_BYTES, this.#end - at);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
        if (bytesRead === 0) throw sourceChanged();
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
}

/** Opens the file at a path. @throws FixityClientError `invalid-source` */
export async function openFile(named: string | URL): Promise<NamedFile> {
  return openPath(named, async (path, file) => {
    const { size, mtimeMs } = await file.stat();
    const content =
      size <= IN_MEMORY_MAX_BYTES
        ? new BytesContent(await readFile(file))
        : new FileContent({ path, size, mtimeMs }, 0, size);
    return { content, name: basename(path), lastModified: mtimeMs, identity: path };
  });
}

/** Opens the file at a path as a blob. @throws FixityClientError `invalid-source` */
export async function openBlob(named: string | URL): Promise<NamedBlob> {
  return openPath(named, async (path, file) => {
    const { mtimeMs } = await file.stat();
    const blob = await openAsBlob(path);
    return { blob, type: null, name: basename(path), lastModified: mtimeMs, identity: path };
  });
}

async function openPath<T>(named: string | URL, read: (path: string, file: FileHandle) => Promise<T>): Promise<T> {
  try {
    const path = resolve(typeof named === "string" ? named : fileURLToPath(named));
    await using file = await open(path);
    if (!(await file.stat()).isFile()) throw new FixityClientError("invalid-source", `${path} is not a file.`);
    return await read(path, file);
  } catch (cause) {
    if (cause instanceof FixityClientError) throw cause;
    throw new FixityClientError("invalid-source", `The file ${String(named)} cannot be opened.`, { cause });
  }
}

/**
 * Content on its way into a request body. It is read as the socket accepts it, so the number of
 * bytes sent is known.
 */
export class RequestBody implements AsyncIterable<Uint8Array> {
  /**
   * Rejects with a `FixityClientError` when the content cannot be read, and never resolves. The
   * request itself reports such a failure as a broken connection or, while it has no socket, not at
   * all.
   */
  readonly failed: Promise<never>;
  readonly #failing = Promise.withResolvers<never>();
  readonly #content: Content;
  readonly #onSent: (bytes: number) => void;

  constructor(content: Content, onSent: (bytes: number) => void) {
    this.#content = content;
    this.#onSent = onSent;
    this.failed = this.#failing.promise;
    this.failed.catch(() => null);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const { size } = this.#content;
    let sent = 0;
    for await (const chunk of this.#chunks()) {
      if (sent + chunk.length > size) throw this.#fail();
      yield chunk;
      sent += chunk.length;
      this.#onSent(sent);
    }
    if (sent < size) throw this.#fail();
  }

  /**
   * The chunks of the content. Its own generator keeps errors of reading apart from those that end
   * the iteration.
   */
  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* this.#content.stream();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(cause?: unknown): Error {
    const error = sourceChanged(cause);
    this.#failing.reject(error);
    return error;
  }
}
