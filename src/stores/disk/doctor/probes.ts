import { constants } from "node:fs";
import { access, readFile, statfs } from "node:fs/promises";
import { HARD_LINKS_UNSUPPORTED } from "../../../base/system-errors.ts";
import { fails, holds, type Outcome, type Probe, untried } from "../../doctor/examine.ts";
import { close, fchmod, fsync, link, mkdir, open, rename, stat, statOrNull, unlink, writev } from "../calls.ts";
import { failedWith, FileSystem } from "../file-system.ts";
import { assertKnownLayout, MODES_UNSUPPORTED } from "../layout.ts";
import type { Bench } from "./bench.ts";

const GIB = 1024 ** 3;
/** Free space below which a warning is due, in bytes and as a share of the file system. */
const FREE_SPACE_MIN_BYTES = GIB;
const FREE_SPACE_MIN_SHARE = 0.05;
/**
 * Clock difference to tolerate: servers on several machines judge the expiry of uploads by their
 * own clocks.
 */
const CLOCK_SKEW_MAX_MS = 5 * 60_000;

const CONTENT = Buffer.from("fixity doctor was here.\n");
const FULL_REMEDY = "Reads continue; uploads are refused with store-full until space is freed.";

const folderGroup = "Folder";
const fileGroup = "A file in it";

/** All probes of a folder, in the order in which they run. */
export const PROBES: readonly Probe<Bench>[] = [
  {
    id: "folder",
    group: folderGroup,
    title: "The folder exists or can be created",
    isGate: true,
    otherwise: { verdict: "failure", remedy: "Give the server's user the folder, or set UPLOAD_DIR to another." },
    run: opensFolder,
  },
  {
    id: "access",
    group: folderGroup,
    title: "Blobs can be read and written",
    isGate: true,
    otherwise: { verdict: "failure", remedy: "Give the server's user read and write access to all of the folder." },
    run: mayBeUsed,
  },
  {
    id: "one-file-system",
    group: folderGroup,
    title: "The folder is on one file system",
    otherwise: {
      verdict: "failure",
      remedy: "Mount nothing at blobs/, staging/ or uploads/: files are linked from one to another.",
    },
    run: isOneFileSystem,
  },
  {
    id: "modes",
    group: folderGroup,
    title: "Other users of the machine cannot read it",
    otherwise: { verdict: "note", remedy: "" },
    run: isClosed,
  },
  {
    id: "room",
    group: folderGroup,
    title: "There is free space",
    otherwise: { verdict: "warning", remedy: FULL_REMEDY },
    run: hasRoom,
  },
  {
    id: "write",
    group: fileGroup,
    title: "A written file reads back the same",
    otherwise: { verdict: "failure", remedy: "No file can be stored." },
    run: writes,
  },
  {
    id: "clock",
    group: fileGroup,
    title: "Its time agrees with this machine's clock",
    needs: ["write"],
    otherwise: {
      verdict: "warning",
      remedy: "Servers on several machines over one folder need clocks that agree. Synchronise them with NTP.",
    },
    run: keepsTime,
  },
  {
    id: "flush-file",
    group: fileGroup,
    title: "It is made durable (fsync)",
    needs: ["write"],
    otherwise: {
      verdict: "failure",
      remedy: "No upload would be acknowledged: nothing proves that it survives a power failure.",
    },
    run: flushesFile,
  },
  {
    id: "read-only",
    group: fileGroup,
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
    group: fileGroup,
    title: "It gets its name without overwriting another file (hard link)",
    needs: ["write"],
    otherwise: {
      verdict: "note",
      remedy: "fixity looks, then renames: two uploads of the same content may both report that it is new.",
    },
    run: links,
  },
  {
    id: "rename",
    group: fileGroup,
    title: "It can replace a damaged file (rename)",
    needs: ["write"],
    otherwise: { verdict: "warning", remedy: "A damaged blob could not be repaired by uploading it again." },
    run: renames,
  },
  {
    id: "flush-folder",
    group: fileGroup,
    title: "Its name is made durable (fsync of the folder)",
    otherwise: {
      verdict: "failure",
      remedy: "Use another file system, or UPLOAD_DURABILITY=none, which loses acknowledged files in a power failure.",
    },
    run: flushesFolder,
  },
];

async function opensFolder(bench: Bench): Promise<Outcome> {
  await assertKnownLayout(bench.layout);
  await bench.open();
  return holds(bench.wasThere ? null : "it does not exist yet");
}

async function mayBeUsed({ layout }: Bench): Promise<Outcome> {
  await access(layout.blobs, constants.R_OK | constants.W_OK | constants.X_OK);
  // Access can only be tested as the user who runs the server.
  return holds(process.geteuid?.() === 0 ? "tested as root, who may do anything" : null);
}

async function isOneFileSystem({ layout }: Bench): Promise<Outcome> {
  const blobs = await stat(layout.blobs);
  for (const [name, path] of [
    ["staging", layout.staging],
    ["uploads", layout.uploads],
  ] as const) {
    // A folder that no upload has needed yet will be created beside the others.
    const other = await statOrNull(path);
    if (other !== null && other.dev !== blobs.dev) return fails(`blobs/ and ${name}/ are on different file systems.`);
  }
  return holds();
}

async function hasRoom({ layout }: Bench): Promise<Outcome> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(layout.staging);
  const free = bavail * bsize;
  const freeText = `${(free / GIB).toFixed(1)} GiB free`;
  if (files > 0 && ffree / files < FREE_SPACE_MIN_SHARE) return fails(`Only ${ffree} more files fit (inodes).`);
  return free < FREE_SPACE_MIN_BYTES || bavail / blocks < FREE_SPACE_MIN_SHARE
    ? fails(`Only ${freeText}.`)
    : holds(freeText);
}

async function keepsTime(bench: Bench): Promise<Outcome> {
  const { mtimeMs } = await stat(bench.file("written"));
  const skew = Math.abs(Date.now() - mtimeMs);
  return skew < CLOCK_SKEW_MAX_MS ? holds() : fails(`They are ${(skew / 1000).toFixed(0)} s apart.`);
}

async function writes(bench: Bench): Promise<Outcome> {
  try {
    await write(bench.file("written"));
  } catch (error) {
    if (!failedWith(error, "ENOSPC", "EDQUOT")) throw error;
    return fails("No space is left.", { verdict: "warning", remedy: FULL_REMEDY });
  }
  const found = await readFile(bench.file("written"));
  return found.equals(CONTENT) ? holds() : fails("The bytes that were read differ from those that were written.");
}

async function flushesFile(bench: Bench): Promise<Outcome> {
  if (bench.options.durability === "none") return unflushed();
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
  return fails(`The modes differ from those of a new store: ${excess.folders.join(", ")}.`, {
    remedy: `An existing store keeps its modes. To change them: ${excess.commands}`,
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
  if (bench.options.durability === "none") return unflushed();
  if (process.platform === "win32") return untried("Windows has no call for it; NTFS keeps a journal");
  const files = new FileSystem("full", bench.options.log);
  await files.flushFolder(bench.layout.blobs);
  await mkdir(bench.file("folder"));
  await files.flushFolder(bench.file("folder"));
  return holds();
}

function unflushed(): Outcome {
  return fails("UPLOAD_DURABILITY=none: nothing is flushed.", {
    verdict: "warning",
    remedy: "Acknowledged files may be lost in a power failure. For tests, and for what can be made again.",
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
