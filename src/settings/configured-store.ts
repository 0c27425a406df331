import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { diskStore } from "../disk.ts";
import { Layout } from "../stores/disk/layout.ts";
import type { S3StoreOptions } from "../stores/s3/options.ts";
import type { Config } from "./config.ts";
import { SETTINGS, type Settings } from "./settings.ts";

/** What sets an option of the S3 store. */
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

/** The store that a configuration asks for. @throws FixityError `invalid-option` */
export async function makeStore(config: Config, log: Logger): Promise<BlobStore> {
  const warn = (message: string, error?: unknown): void => log.warn({ err: error }, message);
  if (config.bucketName === undefined) {
    const group = config.dirGroup === undefined ? undefined : await groupId(config.dirGroup);
    return diskStore({
      root: config.dir,
      durability: config.durability,
      log: warn,
      ...(group !== undefined && { group }),
    });
  }
  // whoever stores in a folder does not wait for what S3 needs
  const { s3Store } = await import("../s3.ts");
  try {
    return s3Store({ bucket: config.bucketName, ...bucketOptions(config), log: warn });
  } catch (error) {
    throw error instanceof FixityError ? inWordsOfSettings(error) : error;
  }
}

/** A web server that sends the files must be able to read them. @throws FixityError `invalid-option` */
export async function checkDelegation({ downloads, bucketName, dir, dirGroup }: Config): Promise<void> {
  if (downloads !== "accelerated" || bucketName !== undefined || dirGroup !== undefined) return;
  // a store that exists keeps its modes, and the web server may be its user's
  if ((await stat(new Layout(dir).blobs).catch(() => null)) !== null || process.platform === "win32") return;
  throw new FixityError(
    "invalid-option",
    "UPLOAD_DOWNLOADS=accelerated: the files of a new store can be read by this server's user only. " +
      "Set UPLOAD_DIR_GROUP to the group of the web server that sends them, such as www-data.",
  );
}

/**
 * The id of a group. `getent` knows all groups of a machine, also those that are kept elsewhere (LDAP).
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

/** The store complains of its options, which are set under other names here. */
function inWordsOfSettings(error: FixityError): FixityError {
  const settings: Readonly<Record<string, keyof Settings>> = BUCKET_SETTINGS;
  const message = error.message.replace(/^\w+/, (option) => {
    const setting = settings[option];
    return setting === undefined ? option : SETTINGS[setting].env;
  });
  return new FixityError(error.code, message, { cause: error });
}
