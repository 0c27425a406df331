import { close, fsync, link, mkdir, open, unlink, write } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SmallLoad } from "./load.ts";

/** What a run reports to its parent process. */
export interface BareResult {
  /** Files per second. */
  readonly rate: number;
  /** The folder with the files, for the parent to remove. */
  readonly root: string;
}

const calls = {
  open: promisify(open),
  write: promisify(write) as (fd: number, bytes: Uint8Array) => Promise<unknown>,
  fsync: promisify(fsync),
  close: promisify(close),
  link: promisify(link),
  unlink: promisify(unlink),
  mkdir: promisify(mkdir) as (path: string, options: { recursive: true }) => Promise<unknown>,
};

/**
 * The disk's own limit: the calls by which a file is made durable under its final name, and nothing
 * else.
 */
async function bareLoop(parent: string, load: SmallLoad): Promise<BareResult> {
  const root = await mkdtemp(join(parent, "fixity-bare-"));
  const folders = Array.from({ length: 256 }, (_, index) => join(root, index.toString(16).padStart(2, "0")));
  for (const folder of folders) await calls.mkdir(folder, { recursive: true });
  const staging = join(root, "staging");
  await calls.mkdir(staging, { recursive: true });
  let left = load.count;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      const bytes = Buffer.alloc(load.size, 7);
      while (left-- > 0) await makeDurable(staging, folders[left & 255] ?? root, { name: String(left), bytes });
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  return { root, rate: load.count / seconds };
}

async function makeDurable(staging: string, folder: string, file: { name: string; bytes: Uint8Array }): Promise<void> {
  const staged = join(staging, file.name);
  const fd = await calls.open(staged, "wx", 0o444);
  await calls.write(fd, file.bytes);
  await calls.fsync(fd);
  await calls.close(fd);
  await calls.link(staged, join(folder, file.name));
  await calls.unlink(staged);
  const folderFd = await calls.open(folder, "r");
  await calls.fsync(folderFd);
  await calls.close(folderFd);
}

const [parent = "", load = "{}"] = process.argv.slice(2);
process.send?.(await bareLoop(parent, JSON.parse(load) as SmallLoad));
