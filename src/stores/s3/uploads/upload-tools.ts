import type { Layout } from "../layout.ts";
import type { S3Client } from "../api/client.ts";
import type { ResolvedS3Options } from "../options.ts";
import type { Publisher } from "../publish/publisher.ts";
import type { BufferPool } from "../buffers/buffer-pool.ts";
import type { Records } from "./records.ts";
import type { Tails } from "./tails.ts";

/** What every upload of a store works with. */
export interface UploadTools {
  readonly client: S3Client;
  readonly options: ResolvedS3Options;
  readonly layout: Layout;
  readonly pool: BufferPool;
  readonly publisher: Publisher;
  readonly records: Records;
  readonly tails: Tails;
}
