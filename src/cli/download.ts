import { createReadStream } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemErrorCode } from "../base/system-errors.ts";
import { type BlobInfo, type Client, createClient, FixityClientError, type RetryWait } from "../client/node.ts";
import { cleanFileName } from "../core/file-name.ts";
import { digestOf } from "../core/intake.ts";
import { printBytes } from "./output.ts";
import { PartialFile } from "./partial-file.ts";
import type { RemoteLink } from "./remote.ts";

const READ_CHUNK_BYTES = 1 << 20;

/** The longest file name of the usual file systems, in bytes of UTF-8. */
const NAME_MAX_BYTES = 255;

/**
 * What Windows interprets in names: drives and streams (`:`), wildcards, devices, and trailing
 * characters that it drops.
 */
const WINDOWS_CHARACTERS = /[<>:"|?*]/g;
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)/i;
const WINDOWS_ENDING = /[. ]$/;

/**
 * What exists at a path: `same` is a file with exactly the expected bytes, `other` is not a file
 * but a folder or device.
 */
export type ExistingContent = "nothing" | "same" | "file" | "other";

/** How a file is downloaded. */
export interface FileDownloadOptions {
  readonly mayReplace: boolean;
  /** Called repeatedly with the number of bytes on the disk. */
  readonly onProgress: (bytes: number) => void;
  /** Called when a failed request is not repeated at once, and with `null` when it is. */
  readonly onWait: (wait: RetryWait | null) => void;
}

/** The download of one file by its link. */
export class Download implements Disposable {
  readonly info: BlobInfo;
  readonly #client: Client;
  readonly #link: RemoteLink;
  readonly #signal: AbortSignal;

  constructor(link: RemoteLink, info: BlobInfo, signal: AbortSignal) {
    const { endpoint, headers } = link;
    this.#client = createClient({ endpoint, headers, storage: null });
    this.#link = link;
    this.info = info;
    this.#signal = signal;
  }

  /** Writes the bytes to standard output as they arrive. They are verified at their end. */
  async toOutput(): Promise<void> {
    const { stream } = await this.#client.download(this.#link.url, { signal: this.#signal });
    for await (const bytes of stream) await printBytes(bytes, this.#signal);
  }

  /** Compares what exists at `path` with the file. */
  async compareWith(path: string): Promise<ExistingContent> {
    const found = await statsOf(path);
    if (found === null) return "nothing";
    // A download would replace the symbolic link, not the file that it points to.
    if (found.isSymbolicLink()) return "file";
    if (!found.isFile()) return "other";
    if (found.size !== this.info.size) return "file";
    const { digest } = await digestOf(createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }));
    return digest.equals(this.#link.digest) ? "same" : "file";
  }

  /**
   * Downloads the bytes that earlier runs did not receive, and gives the file its name once all of
   * it is verified. After a failure the received bytes stay for the next run, in a file beside
   * `path`, unless they are wrong.
   *
   * @returns the number of bytes received in this run
   * @throws FixityClientError, also `digest-mismatch`; and system errors
   */
  async toFile(path: string, { mayReplace, ...listeners }: FileDownloadOptions): Promise<number> {
    const { size } = this.info;
    await using partial = await PartialFile.open(dirname(path), this.#link.digest);
    if (partial.size > size) await partial.restart();
    for (;;) {
      const kept = partial.size;
      try {
        await this.#fetchRest(partial, listeners);
        await this.#publish(partial, path, mayReplace);
        return size - kept;
      } catch (error) {
        if (!isMismatch(error)) throw error;
        await partial.restart();
        // The bytes of an earlier run were not made durable, so they may be the wrong ones: fetch
        // them again, once.
        if (kept === 0) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #fetchRest(
    partial: PartialFile,
    { onProgress, onWait }: Omit<FileDownloadOptions, "mayReplace">,
  ): Promise<void> {
    const have = partial.size > 0 ? partial.bytes() : undefined;
    const { stream } = await this.#client.download(this.#link.url, { signal: this.#signal, have, onWait });
    for await (const bytes of stream) {
      await partial.append(bytes);
      onProgress(partial.size);
    }
  }

  async #publish(partial: PartialFile, path: string, mayReplace: boolean): Promise<void> {
    try {
      await partial.publish(path, { mayReplace });
    } catch (error) {
      if (systemErrorCode(error) !== "EEXIST" || (await this.compareWith(path)) !== "same") throw error;
      // Another run for the same link was faster.
      await partial.discard();
    }
  }
}

/** Whether a download failed because the received bytes do not match the link. */
export function isMismatch(error: unknown): boolean {
  return error instanceof FixityClientError && error.code === "digest-mismatch";
}

/**
 * The path for the file of a link: `output`, or a name of its own if `output` is a folder or
 * `null`. That name is `?filename=` in the link, as in a browser, or else the last segment of the
 * link.
 */
export async function destinationOf({ url, link }: RemoteLink, output: string | null): Promise<string> {
  const name = localName(url.searchParams.get("filename")) ?? link.toString();
  if (output === null) return name;
  return output.endsWith("/") || (await isFolder(output)) ? join(output, name) : output;
}

/**
 * A name from a server or a link as the name of a new file: the last segment if it is a path, never
 * a hidden file (`.bashrc`) or something that a command would take for an option (`-rf`), and short
 * enough. `null` if no usable character is left.
 */
export function localName(name: string | null, platform: NodeJS.Platform = process.platform): string | null {
  const clean = cleanFileName(name);
  if (clean === null) return null;
  const harmless = clean.replace(/^[.-]/, "_");
  return shortened(platform === "win32" ? windowsName(harmless) : harmless);
}

function windowsName(name: string): string {
  return name.replace(WINDOWS_CHARACTERS, "_").replace(WINDOWS_DEVICE, "_$1").replace(WINDOWS_ENDING, "_");
}

/** Shortens a name in front of its extension, between two characters. */
function shortened(name: string): string {
  if (Buffer.byteLength(name) <= NAME_MAX_BYTES) return name;
  const extension = /\.[a-z0-9]{1,16}$/i.exec(name)?.[0] ?? "";
  const stem = Buffer.from(name).subarray(0, NAME_MAX_BYTES - extension.length);
  // In stream mode the decoder holds back the bytes of an incomplete character.
  return new TextDecoder().decode(stem, { stream: true }) + extension;
}

async function statsOf(path: string): Promise<Awaited<ReturnType<typeof lstat>> | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Any problem with the path surfaces when it is used.
    return false;
  }
}
