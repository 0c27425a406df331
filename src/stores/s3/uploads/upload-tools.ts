import type { Layout } from "../layout.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import type { Publisher } from "../publish/publisher.ts";
import type { BufferPool } from "../buffers/buffer-pool.ts";
import type { Completer } from "./completer.ts";
import type { Records } from "./records.ts";
import type { Tails } from "./tails.ts";

/** What every upload of a store works with. */
export interface UploadTools {
  readonly context: UploadContext;
  readonly layout: Layout;
  readonly pool: BufferPool;
  readonly publisher: Publisher;
  readonly records: Records;
  readonly tails: Tails;
  readonly completer: Completer;
  /** Parts of one upload that are sent at once. */
  readonly concurrency: number;
  /** S3 is told the digest of each part. */
  readonly signParts: boolean;
}
