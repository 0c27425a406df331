import "./core/require-supported-node.ts";
export type { Admission, Admissions, CloseOptions, Ending } from "./core/admissions.ts";
export type { BlobIdentity, BlobStat } from "./core/blob-stat.ts";
export type { Block, BlockOptions } from "./core/blocks.ts";
export { ByteRange, type ByteSpan } from "./core/byte-range.ts";
export { Digest } from "./core/digest.ts";
export {
  DOCUMENT_MAX_BYTES,
  type DocumentStore,
  isDocumentName,
  type ListedDocument,
  type StoredDocument,
  type WriteCondition,
} from "./core/document-store.ts";
export type {
  AppendEvent,
  CleanupEvent,
  DownloadEvent,
  FixityUsage,
  RequestEvent,
  RequestSource,
  StoreRequestEvent,
  UploadEvent,
  VerificationEvent,
} from "./core/diagnostics.ts";
export { type ErrorCode, FixityError, type FixityErrorOptions } from "./core/errors.ts";
export { createFixity, type Fixity } from "./core/fixity.ts";
export type { Verification, VerifyOptions } from "./core/verification/whole-reads.ts";
export type { DeliverEvent } from "./core/events/deliveries.ts";
export type {
  BlobFacts,
  DamagedFacts,
  EventType,
  FixityEvent,
  RemovedFacts,
  StoredFacts,
} from "./core/events/event.ts";
export type { EventLimits, EventOptions } from "./core/events/event-options.ts";
export type { PendingEvents } from "./core/events/events.ts";
export type { PutOptions } from "./core/plain-uploads.ts";
export type { Naming } from "./core/file-name.ts";
export type { ByteSource, Received } from "./core/intake.ts";
export type { HookOptions, InspectedFile, Inspection, StoredDetails } from "./core/hooks.ts";
export { Link, type Receipt } from "./core/link.ts";
export type { FixityOptions, Reads, UploadLimitOptions } from "./core/options.ts";
export type { OnPurge, PurgeReason } from "./core/purges.ts";
export type { BlobResponseFields, PresignedUrl, PresignOptions } from "./core/presigning.ts";
export type {
  CommitOptions,
  Committed,
  StagedBlob,
  StagedFile,
  StageFileOptions,
  StageOptions,
  StoredVerdict,
} from "./core/staged-blob.ts";
export type {
  BlobReader,
  BlobStore,
  Collected,
  CollectionMark,
  Misplaced,
  OpenOptions,
  RemovedDamage,
  StoreUsage,
} from "./core/store.ts";
export { UploadId } from "./core/upload-id.ts";
export type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  SavedUpload,
  UploadStore,
  UploadSummary,
} from "./core/upload-store.ts";
export type {
  MintedPermit,
  Permit,
  PermitIdentity,
  PermitPrincipal,
  Permits,
  PermitTerms,
  Redemption,
} from "./access/permits.ts";
export type { LinkSigner, LinkTerms, SignOptions, VerifiedLink } from "./access/signed-links.ts";
export type { Action, Owner, Principal, PrincipalKind, PrincipalLimits } from "./access/principal.ts";
export { TypeList } from "./access/type-list.ts";
export type { UploadTerms } from "./core/upload-terms.ts";
export type {
  Announced,
  AppendLimits,
  AppendOptions,
  CreateOptions,
  Expectation,
  FindOptions,
} from "./core/uploads/upload-options.ts";
export type { SeenUpload } from "./core/uploads/seen-upload.ts";
export type { UploadState } from "./core/uploads/upload-record.ts";
export type { Uploads } from "./core/uploads/uploads.ts";
export type { VerifyReads } from "./core/verification/verified-blobs.ts";
