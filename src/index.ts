export { ByteRange, type ByteSpan } from "./core/byte-range.ts";
export { Digest } from "./core/digest.ts";
export { type ErrorCode, FixityError, type FixityErrorOptions } from "./core/errors.ts";
export type { Admission } from "./core/admissions.ts";
export { type CloseOptions, createFixity, type Fixity, type PutOptions, type Verification } from "./core/fixity.ts";
export type { ByteSource, Received } from "./core/hashing.ts";
export { Link } from "./core/link.ts";
export type { FixityOptions } from "./core/options.ts";
export type { BlobSayings, PresignedUrl, PresignOptions } from "./core/presigning.ts";
export type { Receipt } from "./core/receipt.ts";
export type {
  BlobReader,
  BlobStat,
  BlobStore,
  Collected,
  Committed,
  OpenOptions,
  StagedBlob,
  StageOptions,
} from "./core/store.ts";
export { UploadId } from "./core/upload-id.ts";
export type { HeldUpload, SavedUpload, UploadStore } from "./core/upload-store.ts";
