import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { systemErrorCode } from "../base/system-errors.ts";
import { cachedStore } from "../cache.ts";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { diskStore } from "../disk.ts";
import type { S3StoreOptions } from "../s3.ts";
import { withStoreErrors } from "../stores/disk/file-system.ts";
import { Layout } from "../stores/disk/layout.ts";
import type { ForeignObjects } from "../stores/s3/foreign-objects.ts";
import type { Config } from "./config.ts";
import { SETTINGS, type Settings } from "./settings.ts";

/** The settings behind the options of the S3 store. */
const BUCKET_SETTINGS: { readonly [Option in keyof S3StoreOptions]: keyof Config & keyof Settings } = {
  bucket: "bucketName",
  region: "bucketRegion",
  endpoint: "bucketEndpoint",
  publicEndpoint: "bucketPublicEndpoint",
  accessKey: "bucketAccessKey",
  secretKey: "bucketSecretKey",
  sessionToken: "bucketSessionToken",
  keyPrefix: "bucketPrefix",
  forcePathStyle: "bucketPathStyle",
  partSize: "bucketPartSize",
  fixedPartSize: "bucketEqualParts",
  maxParts: "bucketMaxParts",
  memoryBudget: "memory",
};

/**
 * The store that a configuration describes, not yet checked.
 *
 * @param warn receives failures of the store that fail no call
 * @throws FixityError `invalid-option`
 */
export async function openStore(config: Config, warn: (message: string, error?: unknown) => void): Promise<BlobStore> {
  if (config.bucketName === undefined) {
    const group = config.dirGroup === undefined ? undefined : await groupId(config.dirGroup);
    return diskStore({
      root: config.dir,
      durability: config.durability,
      log: warn,
      ...(group !== undefined && { group }),
    });
  }
  // Loaded on demand: a disk store must not pay for what S3 needs.
  const { s3Store } = await import("../s3.ts");
  try {
    return s3Store({ bucket: config.bucketName, ...bucketOptions(config), log: warn });
  } catch (error) {
    throw error instanceof FixityError ? withSettingName(error) : error;
  }
}

/**
 * The objects of the bucket that a configuration describes, whoever has stored them.
 *
 * @throws FixityError `invalid-option`
 */
export async function openObjects(
  config: Config,
  warn: (message: string, error?: unknown) => void,
): Promise<ForeignObjects> {
  const { bucketName: bucket = "" } = config;
  const [{ ForeignObjects: Objects }, { resolveS3Options }] = await Promise.all([
    import("../stores/s3/foreign-objects.ts"),
    import("../stores/s3/options.ts"),
  ]);
  try {
    return new Objects(resolveS3Options({ bucket, ...bucketOptions(config), log: warn }));
  } catch (error) {
    throw error instanceof FixityError ? withSettingName(error) : error;
  }
}

/**
 * The store of a server: {@link openStore}, with the configured cache for small blobs. Commands
 * that work on a store read what is stored, so they have none.
 *
 * @throws as {@link openStore}
 */
export async function openServerStore(
  config: Config,
  warn: (message: string, error?: unknown) => void,
): Promise<BlobStore> {
  const store = await openStore(config, warn);
  return config.cache === 0 ? store : cachedStore(store, { budget: config.cache });
}

/**
 * Whether the folder of a configuration already holds a disk store. Creates nothing.
 *
 * @throws FixityError `store-…` if the folder cannot be read
 */
export async function diskStoreExists({ dir }: Pick<Config, "dir">): Promise<boolean> {
  try {
    await withStoreErrors(() => stat(new Layout(dir).blobs));
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

/**
 * Makes sure that a web server in front can read the files that it sends.
 *
 * @throws FixityError `invalid-option`
 */
export async function checkDelegation(config: Config): Promise<void> {
  const { downloads, bucketName, dirGroup } = config;
  if (downloads !== "accelerated" || bucketName !== undefined || dirGroup !== undefined) return;
  // An existing store keeps its modes, and its owner may be the user of the web server.
  if (process.platform === "win32" || (await diskStoreExists(config))) return;
  throw new FixityError(
    "invalid-option",
    "UPLOAD_DOWNLOADS=accelerated: the files of a new store are readable only by this server's user. " +
      "Set UPLOAD_DIR_GROUP to the group of the web server that sends them, such as www-data.",
  );
}

/**
 * The id of a group. `getent` knows all groups of a machine, including those of a directory service
 * such as LDAP.
 *
 * @throws FixityError `invalid-option`
 */
async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const { stdout } = await promisify(execFile)("getent", ["group", group]).catch(() => ({ stdout: "" }));
  const id = stdout.split(":")[2];
  if (id !== undefined) return Number(id);
  throw new FixityError("invalid-option", `UPLOAD_DIR_GROUP: this machine has no group ${JSON.stringify(group)}.`);
}

function bucketOptions(config: Config): Partial<S3StoreOptions> {
  const options = Object.entries(BUCKET_SETTINGS).map(([option, setting]) => [option, config[setting]] as const);
  return Object.fromEntries(options.filter(([, value]) => value !== undefined));
}

/**
 * The store's error with the option's name, at the start of its message, replaced by the name of the
 * setting.
 */
function withSettingName(error: FixityError): FixityError {
  const settings: Readonly<Record<string, keyof Settings>> = BUCKET_SETTINGS;
  const message = error.message.replace(/^\w+/, (option) => {
    const setting = settings[option];
    return setting === undefined ? option : SETTINGS[setting].env;
  });
  return new FixityError(error.code, message, { cause: error });
}
