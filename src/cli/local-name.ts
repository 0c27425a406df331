import { cleanFileName } from "../core/file-name.ts";

/** Longest name that the usual file systems take: bytes of UTF-8. */
const MAX_BYTES = 255;

/** What Windows gives a meaning of its own: drives and streams (`:`), wildcards, devices, and ends that it cuts off. */
const WINDOWS_CHARACTERS = /[<>:"|?*]/g;
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)/i;
const WINDOWS_END = /[. ]$/;

/**
 * A name from a server or a link as the name of a new file in some folder: the last segment of whatever path it was, no
 * hidden file (`.bashrc`), nothing that a command would take for an option (`-rf`), and short enough. `null` where nothing
 * is left of it.
 */
export function localName(name: string | null, platform: NodeJS.Platform = process.platform): string | null {
  const clean = cleanFileName(name);
  if (clean === null) return null;
  const tame = clean.replace(/^[.-]/, "_");
  return fitting(platform === "win32" ? forWindows(tame) : tame);
}

function forWindows(name: string): string {
  return name.replace(WINDOWS_CHARACTERS, "_").replace(WINDOWS_DEVICE, "_$1").replace(WINDOWS_END, "_");
}

/** Cut before the extension, between two characters. */
function fitting(name: string): string {
  if (Buffer.byteLength(name) <= MAX_BYTES) return name;
  const extension = /\.[a-z0-9]{1,16}$/i.exec(name)?.[0] ?? "";
  const stem = Buffer.from(name).subarray(0, MAX_BYTES - extension.length);
  // a decoder that waits for more keeps back the first bytes of a character that was cut
  return new TextDecoder().decode(stem, { stream: true }) + extension;
}
