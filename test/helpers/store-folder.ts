import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { chmod, mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";

/** A temporary folder of a disk store, examined by its files and not by the store's own code. */
export class StoreFolder implements AsyncDisposable {
  readonly path: string;
  readonly #temporary: string | null;

  private constructor(path: string, temporary: string | null) {
    this.path = path;
    this.#temporary = temporary;
  }

  static async make(): Promise<StoreFolder> {
    const temporary = await mkdtemp(join(tmpdir(), "fixity-test-"));
    return new StoreFolder(join(temporary, "data"), temporary);
  }

  /** The folder as seen by a process in another mount namespace. Linux only. */
  seenBy({ pid }: { readonly pid: number }): StoreFolder {
    return new StoreFolder(join("/proc", String(pid), "root", this.path), null);
  }

  get blobs(): string {
    return join(this.path, "blobs");
  }

  blob(hex: string): string {
    return join(this.blobs, hex.slice(0, 2), hex);
  }

  fanOut(hex: string): string {
    return dirname(this.blob(hex));
  }

  /** Changes the first byte of a blob, as a decaying disk would: the file keeps its size and its mode. */
  async corrupt(hex: string): Promise<void> {
    const { mode } = await stat(this.blob(hex));
    await chmod(this.blob(hex), 0o600);
    const file = await open(this.blob(hex), "r+");
    try {
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 0);
      await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, 0);
    } finally {
      await file.close();
    }
    await chmod(this.blob(hex), mode & 0o7777);
  }

  /**
   * Content whose blob is the first in its fan-out folder.
   *
   * @param make returns new content at each call
   */
  firstInFolder(make: () => Buffer): Buffer {
    for (;;) {
      const content = make();
      if (!existsSync(this.fanOut(createHash("sha256").update(content).digest("hex")))) return content;
    }
  }

  /** The paths of all staging files. */
  async staged(): Promise<string[]> {
    return filesIn(join(this.path, "staging"));
  }

  /** The folder of a resumable upload. */
  upload(hex: string): string {
    return join(this.path, "uploads", hex);
  }

  /** The names of files in an upload's folder; `null` if there is no such folder. */
  async uploadFiles(hex: string): Promise<string[] | null> {
    return existsSync(this.upload(hex)) ? readdir(this.upload(hex)) : null;
  }

  /** The paths of incompletely created or removed uploads, and of leftover takeover requests. */
  async uploadLeftovers(): Promise<string[]> {
    const uploads = join(this.path, "uploads");
    const names = existsSync(uploads) ? await readdir(uploads) : [];
    const halves = names.filter((name) => name !== "wanted" && !/^[0-9a-f]{32}$/.test(name));
    return [...halves.map((name) => join(uploads, name)), ...(await filesIn(join(uploads, "wanted")))];
  }

  /** The folder of a document. */
  document(name: string): string {
    return join(this.path, "documents", name);
  }

  /** The paths of everything in `documents/` except each document's state and its current text. */
  async documentLeftovers(): Promise<string[]> {
    const files = await filesIn(join(this.path, "documents"));
    const current = files
      .filter((path) => /^\d+-written-/.test(basename(path)))
      .map((path) => join(dirname(path), `${basename(path).replace("-written-", "-")}.text`));
    const states = files.filter((path) => /^\d+-(?:written|removed)-[^.]+$/.test(basename(path)));
    const known = new Set([...states.filter((path) => !path.includes("/documents/.")), ...current]);
    return files.filter((path) => !known.has(path));
  }

  /** Paths of the staging folders of all instances. */
  async instances(): Promise<string[]> {
    const staging = join(this.path, "staging");
    return (await readdir(staging)).map((name) => join(staging, name));
  }

  /** The paths of the next `count` staging files of the only server on this folder. */
  async nextStaged(count: number): Promise<string[]> {
    const [instance = "", ...others] = await this.instances();
    assert.deepEqual(others, [], "one server only");
    // the store used the first one to test the folder at its start
    return Array.from({ length: count }, (_, index) => join(instance, String(index + 2)));
  }

  /** The digests in hex of all blobs. Asserts that each one is intact: its name is its SHA-256. */
  async wholeBlobs(): Promise<Set<string>> {
    const digests = new Set<string>();
    for (const path of await filesIn(this.blobs)) {
      const hex = await sha256OfFile(path);
      assert.equal(basename(path), hex, "a blob's name is its digest");
      assert.equal(path, this.blob(hex));
      assert.equal((await stat(path)).mode & 0o222, 0, "a blob is read-only");
      digests.add(hex);
    }
    return digests;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#temporary !== null) await rm(this.#temporary, { recursive: true, force: true });
  }
}

async function filesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
