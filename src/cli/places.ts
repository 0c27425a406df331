import { realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { type Config, readStoreConfig } from "../settings/config.ts";
import { diskStoreExists, openStore } from "../settings/configured-store.ts";
import { explainStoreFailure } from "../settings/store-failure.ts";
import { SETTINGS } from "../settings/settings.ts";
import { type Remote, remoteAt } from "./remote.ts";
import type { StoreCommandSources } from "./store-command.ts";

/*
 * Places that a user names in an argument, beside the store of the settings:
 *
 *     https://files.example.com/uploads   a running service, by the URL in front of its links
 *     s3://bucket/prefix                  a bucket
 *     anything else                       a folder
 */

/** What a text names. */
export type PlaceName =
  | { readonly kind: "service"; readonly url: string }
  | { readonly kind: "bucket"; readonly bucket: string; readonly keyPrefix: string }
  | { readonly kind: "folder"; readonly path: string };

/** The role of a place in a command; the variables with its settings begin so. */
export type PlaceRole = "FROM" | "TO" | "REPAIR";

/** A store or a service. */
export type Place = AsyncDisposable & {
  /** For reports: as the user wrote it. */
  readonly name: string;
  /** Equal for two texts that name the same place. */
  readonly identity: string;
} & (
    | { readonly kind: "store"; readonly store: BlobStore; readonly config: Config }
    | { readonly kind: "service"; readonly remote: Remote }
  );

export function parsePlace(text: string): PlaceName {
  if (/^https?:\/\//i.test(text)) return { kind: "service", url: text };
  const [, bucket, keyPrefix = ""] = /^s3:\/\/([^/]+)(?:\/(.*))?$/i.exec(text) ?? [];
  if (bucket === undefined) return { kind: "folder", path: resolve(text) };
  return { kind: "bucket", bucket, keyPrefix: withSlash(keyPrefix) };
}

/**
 * The configuration of a bucket. Its settings begin with the role in place of `UPLOAD`
 * (`FROM_BUCKET_ENDPOINT`); those that are not set are those of the settings and flags.
 *
 * @throws FixityError `invalid-option`
 */
export function bucketConfig(
  { bucket, keyPrefix }: PlaceName & { readonly kind: "bucket" },
  role: PlaceRole,
  { flags, env }: StoreCommandSources,
): Config {
  const settings: Record<string, string | undefined> = { memory: flags["memory"] ?? env[SETTINGS.memory.env] };
  for (const [name, { env: variable }] of Object.entries(SETTINGS)) {
    if (!name.startsWith("bucket")) continue;
    // What is set for this bucket comes first, also if only one of the two has it in a file.
    const own = variable.replace("UPLOAD", role);
    const isSet = [own, `${own}_FILE`, own.replace(/_FILE$/, "")].some((name) => env[name] !== undefined);
    settings[name] = isSet ? env[own] : (flags[name] ?? env[variable]);
  }
  const place = { bucketName: bucket, bucketPrefix: keyPrefix === "" ? undefined : keyPrefix };
  return readStoreConfig({ flags: { ...settings, ...place }, env: {} });
}

/** Equal for two configurations of the same bucket. */
export function bucketIdentity({ bucketName, bucketPrefix = "", bucketEndpoint }: Config): string {
  return JSON.stringify([bucketName, withSlash(bucketPrefix), bucketEndpoint]);
}

/** How a place is opened. */
export interface OpenPlaceOptions {
  readonly role: PlaceRole;
  /** The flags and the environment of the command. */
  readonly sources: StoreCommandSources;
  /** The token for a service; that of its login if `undefined`. */
  readonly token: string | undefined;
  /** Receives failures of the store that fail no call. */
  readonly warn: (message: string, error?: unknown) => void;
  readonly signal: AbortSignal;
}

/**
 * Opens a place, and makes sure that it can be used. The folder of a store must exist, unless the
 * role is `TO`: then it is created.
 *
 * @throws FixityError `invalid-option`, or a `store-…` code
 */
export async function openPlace(text: string, options: OpenPlaceOptions): Promise<Place> {
  const { role, sources, token, warn, signal } = options;
  const place = parsePlace(text);
  if (place.kind === "service") {
    const remote = remoteAt(place.url, token, sources.env);
    const identity = remote.endpoint.href;
    return { kind: "service", name: text, identity, remote, async [Symbol.asyncDispose]() {} };
  }
  const config = place.kind === "bucket" ? bucketConfig(place, role, sources) : folderConfig(place.path, sources);
  if (place.kind === "folder" && role !== "TO" && !(await diskStoreExists(config))) throw noStore(text);
  const store = await openStore(config, warn);
  try {
    if (place.kind === "bucket" || role === "TO") await store.check(signal);
    const identity = place.kind === "bucket" ? bucketIdentity(config) : await folderIdentity(place.path);
    const dispose = async (): Promise<void> => await store[Symbol.asyncDispose]();
    return { kind: "store", name: text, identity, store, config, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw explainStoreFailure(error, config);
  }
}

function folderConfig(path: string, { flags, env }: StoreCommandSources): Config {
  const given = (name: "durability" | "dirGroup"): string | undefined => flags[name] ?? env[SETTINGS[name].env];
  return readStoreConfig({
    flags: { dir: path, durability: given("durability"), dirGroup: given("dirGroup") },
    env: {},
  });
}

/** The same for two paths to one folder, also through a link or another mount. */
async function folderIdentity(path: string): Promise<string> {
  const { dev, ino } = await stat(await realpath(path));
  return `${dev}-${ino}`;
}

export function withSlash(prefix: string): string {
  return prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function noStore(text: string): FixityError {
  return new FixityError(
    "invalid-option",
    `There is no store in ${JSON.stringify(text)}. Files that others have stored are imported by 'fixity import'.`,
  );
}
