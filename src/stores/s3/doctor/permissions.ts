import type { Explanation } from "../../doctor/examine.ts";
import { FixityError } from "../../../core/errors.ts";
import { S3Error } from "../s3-error.ts";

/** The IAM action that a request needs ("Actions, resources, and condition keys for Amazon S3"). */
const ACTIONS: Readonly<Record<string, string>> = {
  PutObject: "s3:PutObject",
  CreateMultipartUpload: "s3:PutObject",
  UploadPart: "s3:PutObject",
  CompleteMultipartUpload: "s3:PutObject",
  CopyObject: "s3:PutObject",
  UploadPartCopy: "s3:PutObject",
  GetObject: "s3:GetObject",
  HeadObject: "s3:GetObject",
  DeleteObject: "s3:DeleteObject",
  ListObjectsV2: "s3:ListBucket",
  ListMultipartUploads: "s3:ListBucketMultipartUploads",
  ListParts: "s3:ListMultipartUploadParts",
  AbortMultipartUpload: "s3:AbortMultipartUpload",
};

/** The permission that a request was refused for want of; `null` where that is not what is the matter. */
export function lackedBy(error: S3Error): string | null {
  const isDenied = error.status === 401 || error.status === 403;
  return isDenied ? (ACTIONS[error.operation] ?? null) : null;
}

/** What a failed request means to a person. Whatever is neither the store's word nor S3's is a fault of ours. */
export function explain(error: unknown): Explanation {
  if (error instanceof FixityError) return { found: error.message, permission: null };
  if (!(error instanceof S3Error)) throw error;
  const permission = lackedBy(error);
  if (permission === null) return { found: error.message, permission };
  const code = error.code ?? String(error.status);
  return { found: `${error.operation} was refused (${code}): the keys lack ${permission}.`, permission };
}
