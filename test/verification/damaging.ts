/** What can happen to a stored file behind the back of the service. */
import {
  chmod,
  link,
  lstat,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { sha256 } from "../helpers/service.ts";

/** Damages the file at `path`, which has `size` bytes. */
export type Damage = (path: string, size: number) => Promise<void>;

/** Damage that leaves a file with other bytes in the place: `blob-damaged`, and an upload repairs it. */
export const WRONG_BYTES: Readonly<Record<string, Damage>> = {
  "its first bit flipped": (path) => flip(path, 0),
  "a bit in its middle flipped": (path, size) => flip(path, Math.floor(size / 2)),
  "its last bit flipped": (path, size) => flip(path, size - 1),
  "its last byte cut off": (path, size) => cut(path, size - 1),
  "its second half cut off": (path, size) => cut(path, Math.floor(size / 2)),
  "all its bytes cut off": (path) => cut(path, 0),
  "bytes added to it": async (path) => {
    await chmod(path, 0o600);
    const file = await open(path, "a");
    await file.write("more");
    await file.close();
  },
  "its bytes exchanged for those of another file": async (path, size) => {
    const other = `${path}.other`;
    await writeFile(other, randomBytes(size));
    await rename(path, `${path}.own`);
    await rename(other, path);
    await rename(`${path}.own`, other);
    await unlink(other);
  },
  "another file of its size renamed over it": async (path, size) => {
    await writeFile(`${path}.other`, randomBytes(size));
    await rename(`${path}.other`, path);
  },
  "another file linked in its place": async (path, size) => {
    await writeFile(`${path}.other`, randomBytes(size));
    await unlink(path);
    await link(`${path}.other`, path);
  },
  "a symbolic link to another file in its place": async (path, size) => {
    await writeFile(`${path}.other`, randomBytes(size));
    await unlink(path);
    await symlink(`${path}.other`, path);
  },
};

/** Damage that leaves no file in the place: the operator must clear it, or restore what the link leads to. */
export const NO_FILE: Readonly<Record<string, Damage>> = {
  "a folder in its place": async (path) => {
    await rm(path);
    await mkdir(path);
  },
  "a dangling symbolic link in its place": async (path) => {
    await unlink(path);
    await symlink(`${path}.nowhere`, path);
  },
};

export const DAMAGES: Readonly<Record<string, Damage>> = { ...WRONG_BYTES, ...NO_FILE };

/** Flips one bit of a file. */
export async function flip(path: string, position: number): Promise<void> {
  await chmod(path, 0o600);
  const file = await open(path, "r+");
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
    buffer[0] = (buffer[0] ?? 0) ^ 0x10;
    await file.write(buffer, 0, 1, position);
  } finally {
    await file.close();
  }
}

/** Whether the file at `path` is a regular one with the bytes that its name promises. */
export async function isWhole(path: string, hex: string): Promise<boolean> {
  const facts = await lstat(path).catch(() => null);
  return facts?.isFile() === true && sha256(await readFile(path)) === hex;
}

async function cut(path: string, size: number): Promise<void> {
  await chmod(path, 0o600);
  await truncate(path, size);
}
