import { NOBODY, type Owner } from "../../access/principal.ts";
import type { UploadId } from "../upload-id.ts";
import type { ReadUpload } from "../upload-store.ts";
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

/**
 * An upload as one read has shown it, for a decision about a request before that request changes
 * anything. Made by `Uploads.look`. Passed on to `find`, `append` or `cancel`, it saves them the
 * read; what another request has changed meanwhile is noticed nevertheless.
 */
export interface SeenUpload {
  readonly id: UploadId;
  /** The principal that created the upload. */
  readonly owner: Owner;
  /** The file's name, cleaned. */
  readonly name: string | null;
  /** The extension of the link to be. */
  readonly extension: string | null;
  /** Bytes of the whole file; `null` while unknown. */
  readonly length: number | null;
  /** Durable bytes. A request that is still running may have more. */
  readonly offset: number;
}

/** What the engine saw of each. */
const SIGHTINGS = new WeakMap<SeenUpload, Sighting>();

export function seenUpload(id: UploadId, sighting: Sighting): SeenUpload {
  const { record, read } = sighting;
  const isWhole = record !== null && (record.sealed || record.outcome !== null);
  const seen: SeenUpload = {
    id,
    owner: record?.owner ?? NOBODY,
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
