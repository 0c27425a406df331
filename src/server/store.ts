import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { diskStore } from "../disk.ts";
import type { Config } from "./config.ts";

/** The store that a configuration asks for. @throws FixityError `invalid-option` */
export function makeStore(config: Config, log: Logger): BlobStore {
  if (config.bucketName !== undefined) {
    throw new FixityError(
      "invalid-option",
      "UPLOAD_BUCKET_NAME is set, but this version stores in a folder only. Unset it and set UPLOAD_DIR.",
    );
  }
  return diskStore({
    root: config.dir,
    durability: config.durability,
    log: (message, error) => log.warn({ err: error }, message),
  });
}
