/**
 * `fixity doctor` for a bucket. The probes in this folder try everything that fixity needs from a
 * bucket, on a small scale. They share a {@link Bench}, whose objects have keys below `tmp/doctor-`
 * and are removed at the end, also after a failure. A crashed doctor's objects are removed by a
 * later one, an hour afterwards.
 */
import { FixityError } from "../../../core/errors.ts";
import { cleanupFinding, examine, type Explanation, type Leftovers } from "../../doctor/examine.ts";
import type { DiagnoseOptions, Finding } from "../../doctor/finding.ts";
import { S3Error } from "../api/s3-error.ts";
import { payloadOf } from "../api/signer.ts";
import type { ResolvedS3Options } from "../options.ts";
import { Bench, type BucketProbe, type DemandedField } from "./bench.ts";
import { CONNECTION_PROBES } from "./connection-probes.ts";
import { COPY_PROBES } from "./copy-probes.ts";
import { DOWNLOAD_PROBES } from "./download-probes.ts";
import { MULTIPART_PROBES } from "./multipart-probes.ts";
import { OBJECT_PROBES } from "./object-probes.ts";

/** All probes, in their order. */
const PROBES: readonly BucketProbe[] = [
  ...CONNECTION_PROBES,
  ...OBJECT_PROBES,
  ...MULTIPART_PROBES,
  ...COPY_PROBES,
  ...DOWNLOAD_PROBES,
];

export async function* diagnoseBucket(
  options: ResolvedS3Options,
  diagnosis: DiagnoseOptions,
): AsyncGenerator<Finding, void, undefined> {
  const bench = new Bench(options, diagnosis.signal);
  let leftovers: Leftovers | null;
  try {
    yield* examine(PROBES, { ...diagnosis, context: bench, explain: (error) => explain(error, bench) });
  } finally {
    leftovers = await bench.clear();
  }
  if (leftovers !== null) yield cleanupFinding(leftovers);
}

/**
 * The IAM action that an operation requires ("Actions, resources, and condition keys for Amazon
 * S3").
 */
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

/**
 * Explains a failed request. Storing something may be refused because a permission is missing, or
 * because the bucket's policy demands a header field: only a request with the field shows which.
 *
 * @throws whatever is neither a FixityError nor an S3Error: a defect of fixity
 */
async function explain(error: unknown, bench: Bench): Promise<Explanation> {
  if (error instanceof FixityError) return { found: error.message, permission: null };
  if (!(error instanceof S3Error)) throw error;
  const isDenied = error.status === 401 || error.status === 403;
  const permission = isDenied ? (ACTIONS[error.operation] ?? null) : null;
  if (permission === null) return { found: error.message, permission };
  const refused = `${error.operation} was refused (${error.code ?? String(error.status)})`;
  if (permission === "s3:PutObject") {
    const [first, ...others] = await (bench.demanded ??= demandedFields(bench));
    if (first !== undefined) {
      const values = [first, ...others.filter(({ name }) => name === first.name)]
        .map(({ value }) => value)
        .join(" or ");
      const found =
        `${refused}, but an object with ${first.name}: ${values} is stored: ` +
        "the bucket's policy requires this header, which fixity does not send.";
      return { found, permission: null, remedy: `No file can be stored. ${first.remedy}` };
    }
  }
  return { found: `${refused}: the credentials lack ${permission}.`, permission };
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

/** The fields that each make the bucket accept an object that it refuses without. */
async function demandedFields(bench: Bench): Promise<readonly DemandedField[]> {
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
