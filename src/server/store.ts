import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { diskStore } from "../disk.ts";
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
    return diskStore({ root: config.dir, durability: config.durability, log: warn });
  }
  // whoever stores in a folder does not wait for what S3 needs
  const { s3Store } = await import("../s3.ts");
  try {
    return s3Store({ bucket: config.bucketName, ...bucketOptions(config), log: warn });
  } catch (error) {
    throw error instanceof FixityError ? inWordsOfSettings(error) : error;
  }
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
