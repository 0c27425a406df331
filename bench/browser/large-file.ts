import { randomFillSync } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";

const BLOCK_BYTES = 8 * 1024 ** 2;

/** A file to upload, whose content can be renewed. */
export class LargeFile implements AsyncDisposable {
  readonly path: string;
  readonly size: number;
  readonly #folder: string;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.path = join(folder, "large.bin");
    this.size = size;
  }

  static async make(parent: string, size: number): Promise<LargeFile> {
    const made = new LargeFile(await mkdtemp(join(parent, "fixity-bench-file-")), size);
    await using file = await open(made.path, "w");
    const block = randomFillSync(Buffer.alloc(BLOCK_BYTES));
    for (let at = 0; at < size; at += BLOCK_BYTES) await file.write(block);
    await file.sync();
    return made;
  }

  /** Changes the content to one that no server has. */
  async renew(): Promise<void> {
    await using file = await open(this.path, "r+");
    await file.write(randomFillSync(Buffer.alloc(4096)), 0, 4096, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
