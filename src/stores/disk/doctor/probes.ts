import { constants } from "node:fs";
import { access, readFile, statfs } from "node:fs/promises";
import { fails, holds, type Outcome, type Probe, untried } from "../../doctor/examine.ts";
import { close, fchmod, fsync, link, mkdir, open, rename, stat, statOrNull, unlink, writev } from "../calls.ts";
import { failedWith, FileSystem } from "../file-system.ts";
import { MODES_UNSUPPORTED } from "../layout.ts";
import { HARD_LINKS_UNSUPPORTED } from "../../../base/system-errors.ts";
import type { Bench } from "./bench.ts";

const GIB = 1024 ** 3;
/** Less room than this is told, in bytes and as a share of all there is. */
const LITTLE_ROOM = GIB;
const LITTLE_SHARE = 0.05;
/** Milliseconds: servers on several machines take each other for dead after an hour of silence, by these clocks. */
const MOST_SKEW = 5 * 60_000;

const CONTENT = Buffer.from("fixity doctor was here.\n");
const FULL = "Reads go on; uploads are refused with store-full until there is room.";

const folder = "Folder";
const promises = "What becomes of a file";

/** All probes of a folder, in their order. */
export const PROBES: readonly Probe<Bench>[] = [
  {
    id: "folder",
    group: folder,
    title: "The folder is there, or can be made",
    isGate: true,
    otherwise: { verdict: "failure", remedy: "Give the server's user the folder, or set UPLOAD_DIR to another." },
    run: opensFolder,
  },
  {
    id: "access",
    group: folder,
    title: "Blobs in it may be read and written",
    isGate: true,
    otherwise: { verdict: "failure", remedy: "Give the server's user read and write access to all of the folder." },
    run: mayBeUsed,
  },
  {
    id: "one-file-system",
    group: folder,
    title: "It lies on one file system",
    otherwise: {
      verdict: "failure",
      remedy: "Mount nothing at blobs/, staging/ or uploads/: files are linked from these to those.",
    },
    run: isOneFileSystem,
  },
  {
    id: "modes",
    group: folder,
    title: "Other users of the machine cannot read it",
    otherwise: { verdict: "note", remedy: "" },
    run: isClosed,
  },
  {
    id: "room",
    group: folder,
    title: "There is room",
    otherwise: { verdict: "warning", remedy: FULL },
    run: hasRoom,
  },
  {
    id: "write",
    group: promises,
    title: "A file is written, and reads the same",
    otherwise: { verdict: "failure", remedy: "No file can be stored." },
    run: writes,
  },
  {
    id: "clock",
    group: promises,
    title: "It has this machine's time",
    needs: ["write"],
    otherwise: {
      verdict: "warning",
      remedy: "Servers on several machines over one folder need clocks that agree. Keep them with NTP.",
    },
    run: keepsTime,
  },
  {
    id: "flush-file",
    group: promises,
    title: "It is made durable (fsync)",
    needs: ["write"],
    otherwise: {
      verdict: "failure",
      remedy: "No upload would be acknowledged: nothing says that it outlives a power cut.",
    },
    run: flushesFile,
  },
  {
    id: "read-only",
    group: promises,
    title: "It is made read-only (fchmod)",
    needs: ["write"],
    otherwise: {
      verdict: "note",
      remedy: "Files of resumed uploads stay writable for the server's user. fixity never writes to a stored file.",
    },
    run: makesReadOnly,
  },
  {
    id: "hard-link",
    group: promises,
    title: "It gets its place without writing over another (hard link)",
    needs: ["write"],
    otherwise: {
      verdict: "note",
      remedy: "fixity looks, then renames: two uploads of one content may both be told that it is new.",
    },
    run: links,
  },
  {
    id: "rename",
    group: promises,
    title: "It may take the place of a damaged one (rename)",
    needs: ["write"],
    otherwise: { verdict: "warning", remedy: "A damaged blob could not be mended by uploading it again." },
    run: renames,
  },
  {
    id: "flush-folder",
    group: promises,
    title: "Its name is made durable (fsync of the folder)",
    otherwise: {
      verdict: "failure",
      remedy: "Use another file system, or UPLOAD_DURABILITY=none, which loses acknowledged files in a power cut.",
    },
    run: flushesFolder,
  },
];

async function opensFolder(bench: Bench): Promise<Outcome> {
  await bench.open();
  return holds(bench.wasThere ? null : "it is not there yet");
}

async function mayBeUsed({ layout }: Bench): Promise<Outcome> {
  await access(layout.blobs, constants.R_OK | constants.W_OK | constants.X_OK);
  // what is asked of a server's user can only be asked as that user
  return holds(process.geteuid?.() === 0 ? "asked as root, who may do anything" : null);
}

async function isOneFileSystem({ layout }: Bench): Promise<Outcome> {
  const blobs = await stat(layout.blobs);
  for (const [name, path] of [
    ["staging", layout.staging],
    ["uploads", layout.uploads],
  ] as const) {
    // one that no upload has needed yet will be made beside the others
    const other = await statOrNull(path);
    if (other !== null && other.dev !== blobs.dev) return fails(`blobs/ and ${name}/ lie on two.`);
  }
  return holds();
}

async function hasRoom({ layout }: Bench): Promise<Outcome> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(layout.staging);
  const free = bavail * bsize;
  const told = `${(free / GIB).toFixed(1)} GiB free`;
  if (files > 0 && ffree / files < LITTLE_SHARE) return fails(`${ffree} files more, and none will fit (inodes).`);
  return free < LITTLE_ROOM || bavail / blocks < LITTLE_SHARE ? fails(`Only ${told}.`) : holds(told);
}

async function keepsTime(bench: Bench): Promise<Outcome> {
  const { mtimeMs } = await stat(bench.file("written"));
  const skew = Math.abs(Date.now() - mtimeMs);
  return skew < MOST_SKEW ? holds() : fails(`They are ${(skew / 1000).toFixed(0)} s apart.`);
}

async function writes(bench: Bench): Promise<Outcome> {
  try {
    await write(bench.file("written"));
  } catch (error) {
    if (!failedWith(error, "ENOSPC", "EDQUOT")) throw error;
    return fails("No room is left.", { verdict: "warning", remedy: FULL });
  }
  const found = await readFile(bench.file("written"));
  return found.equals(CONTENT) ? holds() : fails("Other bytes were read than were written.");
}

async function flushesFile(bench: Bench): Promise<Outcome> {
  if (bench.options.durability === "none") return notWanted();
  const fd = await open(bench.file("written"), "r+");
  try {
    await fsync(fd);
    return holds();
  } finally {
    await close(fd);
  }
}

async function isClosed({ layout, wasThere }: Bench): Promise<Outcome> {
  if (process.platform === "win32") return untried("Windows has access control lists instead of modes");
  const excess = wasThere ? await layout.modes.excess() : null;
  if (excess === null) return holds();
  return fails(`The modes are not those of a new store: ${excess.folders.join(", ")}.`, {
    remedy: `A store keeps the modes it has. To change them: ${excess.commands}`,
  });
}

async function makesReadOnly(bench: Bench): Promise<Outcome> {
  const path = bench.file("read-only");
  await write(path);
  const fd = await open(path, "r");
  try {
    await fchmod(fd, 0o444);
  } catch (error) {
    if (!failedWith(error, ...MODES_UNSUPPORTED)) throw error;
    return fails("The file system does not change the modes of files.");
  } finally {
    await close(fd);
  }
  return (await stat(path)).mode & 0o222 ? fails("The file system ignores the modes of files.") : holds();
}

async function links(bench: Bench): Promise<Outcome> {
  const place = bench.file("linked");
  try {
    await link(bench.file("written"), place);
  } catch (error) {
    if (!failedWith(error, ...HARD_LINKS_UNSUPPORTED)) throw error;
    return fails("The file system has no hard links.");
  }
  try {
    await link(bench.file("written"), place);
  } catch (error) {
    if (failedWith(error, "EEXIST")) return holds();
    throw error;
  }
  return fails("A link took the place of another file.");
}

async function renames(bench: Bench): Promise<Outcome> {
  await write(bench.file("damaged"));
  await write(bench.file("mended"));
  await rename(bench.file("mended"), bench.file("damaged"));
  await unlink(bench.file("damaged"));
  return holds();
}

async function flushesFolder(bench: Bench): Promise<Outcome> {
  if (bench.options.durability === "none") return notWanted();
  if (process.platform === "win32") return untried("Windows has no call for it; NTFS keeps a journal");
  const files = new FileSystem("full", bench.options.log);
  await files.flushFolder(bench.layout.blobs);
  await mkdir(bench.file("folder"));
  await files.flushFolder(bench.file("folder"));
  return holds();
}

function notWanted(): Outcome {
  return fails("UPLOAD_DURABILITY=none: nothing is flushed.", {
    verdict: "warning",
    remedy: "Acknowledged files may be lost in a power cut. For tests, and for what can be made again.",
  });
}

async function write(path: string): Promise<void> {
  const fd = await open(path, "wx");
  try {
    let left = CONTENT.length;
    while (left > 0) left -= await writev(fd, [CONTENT.subarray(CONTENT.length - left)]);
  } finally {
    await close(fd);
  }
}
