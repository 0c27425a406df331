import { forEachConcurrent } from "../../../base/map-concurrent.ts";
import type { UploadId } from "../../../core/upload-id.ts";
import type { S3Client } from "../api/client.ts";
import type { Layout } from "../layout.ts";
import { listObjects } from "../api/listing.ts";
import type { Records } from "./records.ts";

/** Records that are read at the same time. */
const RECORD_READS = 16;

/**
 * All that the records of uploads name: ids of multipart uploads, keys of tails and of staged objects. Asked only where
 * something looks abandoned, as every record is read for it.
 *
 * @throws where one of them cannot be read: it could name anything
 */
export async function namesInRecords(
  client: S3Client,
  layout: Layout,
  { records, signal }: { readonly records: Records; readonly signal: AbortSignal | undefined },
): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const addNamesOf = async (id: UploadId) => {
    const state = (await records.read(id, signal))?.state;
    if (state?.tail) names.add(state.tail.key);
    if (state?.upload) names.add(state.upload.uploadId).add(state.upload.key);
  };
  for await (const { items } of listObjects(client, layout.uploads, signal)) {
    const ids = items.map(({ key }) => layout.uploadIdOf(key)).filter((id) => id !== null);
    await forEachConcurrent(ids, RECORD_READS, addNamesOf);
  }
  return names;
}
