import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { type Config, type Environment, readStoreConfig } from "../settings/config.ts";
import { openStore } from "../settings/configured-store.ts";

/** Another place that may have the right bytes of blobs. They are checked by whoever stores them. */
export interface RepairSource extends AsyncDisposable {
  /** For reports: the folder, URL or bucket as the user wrote it. */
  readonly name: string;
  /** The bytes under a digest; `null` if there are none. The caller iterates them, or ends them. */
  open(digest: Digest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | null>;
}

/**
 * The source that a text names:
 *
 * - `https://files.example.com/uploads`: a service, by the URL in front of its links.
 * - `s3://bucket/prefix`: a bucket that another service stores in. Its endpoint and keys are settings
 *   that begin with `REPAIR_BUCKET_` instead of `UPLOAD_BUCKET_`, by default those of the verified one.
 * - Anything else is a folder: that of another store, or one with files that are named
 *   `<64 hex digits>`, with or without an extension.
 *
 * @throws FixityError `invalid-option` if the source is the store itself, or is no folder
 */
export async function repairSource(
  text: string,
  { config, env }: { readonly config: Config; readonly env: Environment },
): Promise<RepairSource> {
  if (/^https?:\/\//i.test(text)) return serviceSource(text);
  const [, bucket, prefix = ""] = /^s3:\/\/([^/]+)(?:\/(.*))?$/i.exec(text) ?? [];
  if (bucket === undefined) return await folderSource(text, config);
  return await bucketSource(text, repairConfig(env, bucket, prefix), config);
}

function serviceSource(url: string): RepairSource {
  const base = url.replace(/\/+$/, "");
  return {
    name: url,
    async open({ hex }, signal) {
      const response = await fetch(`${base}/${hex}`, { signal, headers: { "Accept-Encoding": "identity" } });
      if (response.ok && response.body !== null) return response.body;
      await response.body?.cancel();
      if (response.status === 404) return null;
      throw new FixityError("store-unavailable", `${url} responded with status ${response.status}.`);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** The configuration of a bucket, from the settings of either. */
function repairConfig(env: Environment, bucket: string, prefix: string): Config {
  const own = Object.entries(env).filter(([name]) => /^UPLOAD_BUCKET_(?!PREFIX$)/.test(name));
  const others = Object.entries(env)
    .filter(([name]) => name.startsWith("REPAIR_BUCKET_"))
    .map(([name, value]) => [name.replace("REPAIR", "UPLOAD"), value] as const);
  const settings = Object.fromEntries([...own, ...others]);
  const keyPrefix = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  return readStoreConfig({
    flags: {},
    env: { ...settings, UPLOAD_BUCKET_NAME: bucket, ...(keyPrefix !== "" && { UPLOAD_BUCKET_PREFIX: keyPrefix }) },
  });
}

async function bucketSource(text: string, source: Config, verified: Config): Promise<RepairSource> {
  const isSame = (["bucketName", "bucketPrefix", "bucketEndpoint"] as const).every(
    (name) => source[name] === verified[name],
  );
  if (isSame) throw isTheStore(text);
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
      `--repair-from: ${JSON.stringify(text)} is no folder, no URL and no s3:// bucket.`,
    );
  }
  const own = bucketName === undefined ? await realpath(resolve(dir)).catch(() => null) : null;
  if (folder === own || folder === (own === null ? null : join(own, "blobs"))) throw isTheStore(text);
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

function isTheStore(text: string): FixityError {
  return new FixityError("invalid-option", `--repair-from: ${JSON.stringify(text)} is the store that is verified.`);
}
