import { open, readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { FixityClientError, sourceChanged } from "../errors.ts";
import type { Content, NamedFile } from "../platform.ts";
import { BytesContent } from "./bytes-content.ts";

/** Bytes that are read at a time. */
const CHUNK = 256 * 1024;
/** Bytes up to which a file is read at once. */
const SMALL = 256 * 1024;

/** What a file was when it was opened, by which it is known to be the same. */
interface FileState {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** Bytes of a file, from `#start` to `#end`. */
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

  /** Rejects with a FixityClientError `source-changed` also where another file has taken the place of the one that was opened. */
  async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await open(this.#state.path).catch((cause: unknown) => {
      throw sourceChanged(cause);
    });
    try {
      const { size, mtimeMs } = await file.stat();
      if (size !== this.#state.size || mtimeMs !== this.#state.mtimeMs) throw sourceChanged();
      for (let at = this.#start; at < this.#end;) {
        const length = Math.min(CHUNK, this.#end - at);
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

/** Opens what a path names. @throws FixityClientError `invalid-source` */
export async function openFile(named: string | URL): Promise<NamedFile> {
  try {
    const path = resolve(typeof named === "string" ? named : fileURLToPath(named));
    await using file = await open(path);
    const stats = await file.stat();
    if (!stats.isFile()) throw new FixityClientError("invalid-source", "The path does not name a file.");
    const { size, mtimeMs } = stats;
    const content =
      size <= SMALL ? new BytesContent(await readFile(file)) : new FileContent({ path, size, mtimeMs }, 0, size);
    return { content, name: basename(path), lastModified: mtimeMs, identity: path };
  } catch (cause) {
    if (cause instanceof FixityClientError) throw cause;
    throw new FixityClientError("invalid-source", "The file cannot be opened.", { cause });
  }
}
