import { ANONYMOUS } from "../../access/principal.ts";
import type { UploadId } from "../upload-id.ts";
import type { ReadUpload } from "../upload-store.ts";
import type { SeenUpload } from "./seen-upload.ts";
import { isExpired, isPending, type PendingRecord, readableRecord, type UploadRecord } from "./upload-record.ts";

/** What is known of an upload without taking it from its holder. */
export type Sighting =
  /** This process is making a blob of it, as it has the record. */
  | { readonly status: "completing"; readonly record: UploadRecord; readonly read: null }
  | { readonly status: "ended"; readonly record: UploadRecord; readonly read: ReadUpload | null }
  /** Its blob is stored, and the hook has not succeeded. */
  | { readonly status: "pending"; readonly record: PendingRecord; readonly read: ReadUpload }
  /** It has no holder, so its offset is final until a request takes it. */
  | { readonly status: "idle"; readonly record: UploadRecord; readonly read: ReadUpload }
  /**
   * To know more, or to conclude a damaged upload, it must be held. A record that cannot be read is
   * `null`.
   */
  | { readonly status: "unsettled"; readonly record: UploadRecord | null; readonly read: ReadUpload };

/** What is known once no completion of the upload is running in this process. */
export type SettledSighting = Exclude<Sighting, { readonly status: "completing" }>;

/** What a read of an upload shows. @throws FixityError for a record of a later version */
export function sightingOf(read: ReadUpload): SettledSighting {
  const record = readableRecord(read.record);
  if (record === null || read.isDamaged === true || isExpired(record)) return { status: "unsettled", record, read };
  if (record.outcome !== null) return { status: "ended", record, read };
  if (isPending(record)) return { status: "pending", record, read };
  return { status: read.isHeld || record.sealed ? "unsettled" : "idle", record, read };
}

/** What the engine saw of each. */
const SIGHTINGS = new WeakMap<SeenUpload, Sighting>();

/** What a caller of the engine sees of it. */
export function seenUpload(id: UploadId, sighting: Sighting): SeenUpload {
  const { record, read } = sighting;
  const isWhole = record !== null && (record.sealed || record.outcome !== null);
  const seen: SeenUpload = {
    id,
    owner: record?.owner ?? ANONYMOUS,
    name: record?.name ?? null,
    extension: record?.extension ?? null,
    length: record?.length ?? null,
    offset: (isWhole ? record.length : null) ?? read?.offset ?? 0,
  };
  SIGHTINGS.set(seen, sighting);
  return seen;
}

/** `null` for an upload that was not seen by {@link seenUpload}. */
export function sightingIn(seen: SeenUpload | undefined): Sighting | null {
  return (seen && SIGHTINGS.get(seen)) ?? null;
}
