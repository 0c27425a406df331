import type { Explanation } from "../../doctor/examine.ts";
import { FixityError } from "../../../core/errors.ts";
import { S3Error } from "../api/s3-error.ts";
import { type Bench, type DemandedField, payloadOf } from "./bench.ts";

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

const REMOVE_STATEMENT = "Remove the statement that demands it from the bucket's policy (PutBucketPolicy), and";
const ENCRYPT_BY_DEFAULT =
  `${REMOVE_STATEMENT} set the default encryption of the bucket (PutBucketEncryption): the bucket then encrypts everything ` +
  "that is stored, without the header.";

const DEMANDABLE: readonly DemandedField[] = [
  { name: "x-amz-server-side-encryption", value: "AES256", remedy: ENCRYPT_BY_DEFAULT },
  { name: "x-amz-server-side-encryption", value: "aws:kms", remedy: ENCRYPT_BY_DEFAULT },
  {
    name: "x-amz-acl",
    value: "bucket-owner-full-control",
    remedy:
      `${REMOVE_STATEMENT} set the bucket's Object Ownership to BucketOwnerEnforced (PutBucketOwnershipControls): its owner ` +
      "then owns everything that is stored, without the header.",
  },
];

/** The fields each of which makes the bucket accept an object that it refuses without. */
async function fieldsDemanded(bench: Bench): Promise<readonly DemandedField[]> {
  const key = bench.key("policy");
  const isStored = async (headers: Readonly<Record<string, string>>): Promise<boolean> => {
    try {
      const request = { operation: "PutObject", method: "PUT", key, headers, body: payloadOf("policy\n") };
      await bench.client.call(request, () => null);
      return true;
    } catch (error) {
      if (error instanceof S3Error) return false;
      throw error;
    }
  };
  if (await isStored({})) return [];
  const demanded: DemandedField[] = [];
  for (const field of DEMANDABLE) if (await isStored({ [field.name]: field.value })) demanded.push(field);
  return demanded;
}

/**
 * What a failed request means to a person. A refusal to store something is either for want of a permission, or because the
 * bucket's policy demands a header field: only a request that has the field can tell.
 *
 * @throws whatever is neither a FixityError nor an S3Error: a defect of fixity
 */
export async function explain(error: unknown, bench: Bench): Promise<Explanation> {
  if (error instanceof FixityError) return { found: error.message, permission: null };
  if (!(error instanceof S3Error)) throw error;
  const permission = lackedBy(error);
  if (permission === null) return { found: error.message, permission };
  const refused = `${error.operation} was refused (${error.code ?? String(error.status)})`;
  if (permission === "s3:PutObject") {
    const [first, ...others] = await (bench.demanded ??= fieldsDemanded(bench));
    if (first !== undefined) {
      const values = [first, ...others.filter(({ name }) => name === first.name)]
        .map(({ value }) => value)
        .join(" or ");
      const found = `${refused}, but an object with ${first.name}: ${values} is stored: the bucket's policy requires this header, which fixity does not send.`;
      return { found, permission: null, remedy: `No file can be stored. ${first.remedy}` };
    }
  }
  return { found: `${refused}: the keys lack ${permission}.`, permission };
}
