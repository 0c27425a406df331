import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import type { Config } from "../settings/config.ts";
import { openStore } from "../settings/configured-store.ts";
import { bucketConfig, bucketIdentity, parsePlace } from "./places.ts";
import { remoteAt } from "./remote.ts";
import { fetchBlob, type FetchedBytes } from "./service-requests.ts";
import type { StoreCommandSources } from "./store-command.ts";

/**
 * Another place that may have the right bytes of blobs. The bytes are not checked here: storing them
 * under their digest does that.
 */
export interface RepairSource extends AsyncDisposable {
  /** For reports: the folder, URL or bucket as the user wrote it. */
  readonly name: string;
  /** The bytes under a digest; `null` if there are none. The caller disposes of them. */
  open(digest: Digest, signal: AbortSignal): Promise<FetchedBytes | null>;
}

/**
 * The source that a text names:
 *
 * - `https://files.example.com/uploads`: a service, by the URL in front of its links. The token of
 *   `REPAIR_TOKEN`, or the one that `fixity login` has saved for it, is sent to it.
 * - `s3://bucket/prefix`: a bucket that another service stores in. Its settings begin with
 *   `REPAIR_BUCKET_` instead of `UPLOAD_BUCKET_`; those that are not set are those of the verified
 *   bucket.
 * - Anything else is a folder: that of another store, or one with files that are named
 *   `<64 hex digits>`, with or without an extension.
 *
 * @param sources the flags and the environment of the command
 * @throws FixityError `invalid-option` if the source is the store itself, or not a folder
 */
export async function repairSource(text: string, config: Config, sources: StoreCommandSources): Promise<RepairSource> {
  const place = parsePlace(text);
  if (place.kind === "service") return serviceSource(text, sources);
  if (place.kind === "folder") return await folderSource(text, config);
  return await bucketSource(text, bucketConfig(place, "REPAIR", sources), config);
}

function serviceSource(url: string, { env }: StoreCommandSources): RepairSource {
  const remote = remoteAt(url, env["REPAIR_TOKEN"], env);
  return {
    name: url,
    open: (digest, signal) => fetchBlob(remote, digest, signal),
    async [Symbol.asyncDispose]() {},
  };
}

async function bucketSource(text: string, source: Config, verified: Config): Promise<RepairSource> {
  if (bucketIdentity(source) === bucketIdentity(verified)) throw isTheStore(text);
  const store = await openStore(source, () => {});
  return {
    name: text,
    open: (digest, signal) => store.open(digest, { signal }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

async function folderSource(text: string, { dir, bucketName }: Config): Promise<RepairSource> {
  const folder = await realpath(resolve(text)).catch(() => null);
  if (folder === null || !(await stat(folder)).isDirectory()) {
    throw new FixityError(
      "invalid-option",
      `--repair-from: ${JSON.stringify(text)} is neither a folder, nor a URL, nor s3://bucket.`,
    );
  }
  const own = bucketName === undefined ? await realpath(resolve(dir)).catch(() => null) : null;
  if (own !== null && isWithin(folder, join(own, "blobs"))) throw isTheStore(text);
  if (folder === own) throw isTheStore(text);
  let names: Promise<ReadonlyMap<string, string>> | null = null;
  return {
    name: text,
    async open({ hex }, signal) {
      const inStore = [join(folder, "blobs", hex.slice(0, 2), hex), join(folder, hex.slice(0, 2), hex)];
      names ??= namesByDigest(folder);
      const named = (await names).get(hex);
      for (const path of named === undefined ? inStore : [...inStore, join(folder, named)]) {
        if ((await stat(path).catch(() => null))?.isFile() === true) return createReadStream(path, { signal });
      }
      return null;
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** The names in a folder that begin with a digest in hex, by that digest. */
async function namesByDigest(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const name of await readdir(folder)) {
    const [hex] = /^[0-9a-f]{64}(?=\.|$)/.exec(name) ?? [];
    if (hex !== undefined) names.set(hex, name);
  }
  return names;
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === "" || !(way.startsWith("..") || resolve(way) === way);
}

function isTheStore(text: string): FixityError {
  return new FixityError("invalid-option", `--repair-from: ${JSON.stringify(text)} is the store that is verified.`);
}
