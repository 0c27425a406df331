import { inspect } from "node:util";
import { redacted } from "../../base/redact.ts";
import { FixityError } from "../../core/errors.ts";
import { type Log, parseEndpoint, type S3ClientOptions, type S3Timeouts } from "./api/client-options.ts";
import { MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES } from "./api/multipart.ts";
import type { StaticCredentials } from "./api/signer.ts";
import type { BufferPoolLimits } from "./buffers/buffer-pool.ts";

export type { Log, S3Timeouts } from "./api/client-options.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Options of `s3Store`. */
export interface S3StoreOptions {
  /** Name of the bucket, which must exist. */
  readonly bucket: string;
  /**
   * Region of the bucket, such as `eu-central-1`. Required for AWS.
   *
   * @default `us-east-1` elsewhere
   */
  readonly region?: string;
  /**
   * Address of the S3 server, such as `https://minio.example.com`. Without a scheme, `https` is
   * used.
   *
   * @default AWS's, by the region
   */
  readonly endpoint?: string;
  /**
   * Address at which clients reach S3, if it differs from `endpoint` (a service in the same
   * cluster, say). Presigned URLs point there.
   *
   * @default `endpoint`
   */
  readonly publicEndpoint?: string;
  /**
   * Id of the access key.
   *
   * @default AWS's credential chain: environment, profile, SSO, web identity, container, instance.
   *   It needs the package `@aws-sdk/credential-provider-node`.
   */
  readonly accessKey?: string;
  /** Secret of the `accessKey`; both are set, or neither. */
  readonly secretKey?: string;
  /** Session token of temporary credentials. */
  readonly sessionToken?: string;
  /** Prefix of every key; a slash is added. @default none */
  readonly keyPrefix?: string;
  /**
   * Whether the bucket's name stands in the path instead of the host name.
   *
   * @default `true` with an `endpoint`, or if the name has a dot, which no certificate for such a
   *   host would match
   */
  readonly forcePathStyle?: boolean;
  /** Bytes of a part. A file that fits in one is stored with one request. @default 8 MiB */
  readonly partSize?: number;
  /**
   * Whether all parts but the last have `partSize` bytes, as R2 requires. Parts of huge files do
   * not grow then.
   *
   * @default false
   */
  readonly fixedPartSize?: boolean;
  /** The most parts of one upload. @default 10,000 */
  readonly maxParts?: number;
  /** Bytes of memory for all uploads together. @default 96 MiB, or four parts if that is more */
  readonly memoryBudget?: number;
  /**
   * Uploads that may wait for memory before the next one is refused with `store-busy`.
   *
   * @default 1,000
   */
  readonly queueLimit?: number;
  /**
   * Bytes per second below which a sender is dropped while other uploads wait for the memory it
   * holds.
   *
   * @default 64 KiB
   */
  readonly minRate?: number;
  /** Parts of one upload that are sent at the same time. @default 4 */
  readonly concurrency?: number;
  /** Connections for all requests but downloads, each of which has its own. @default 128 */
  readonly connections?: number;
  /**
   * How S3 verifies that a part arrived intact: `signed` by its SHA-256, for which each part is
   * hashed a second time, or `unsigned` by TLS alone. Files of one part are always signed, because
   * their digest is known anyway.
   *
   * @default "unsigned" over https, "signed" over http
   */
  readonly partIntegrity?: "signed" | "unsigned";
  /** Milliseconds after which requests fail, and for which failed ones are retried. */
  readonly timeouts?: S3Timeouts;
  /** Attempts per request, as a second limit beside `timeouts.retries`. @default unlimited */
  readonly attempts?: number;
  /**
   * Hours without activity after which an upload counts as abandoned and `collect` removes it.
   *
   * @default 24
   */
  readonly abandonedAfter?: number;
  /**
   * Receives failures that fail no call.
   *
   * @default Node's process warnings, of type `FixityWarning`
   */
  readonly log?: Log;
}

/** How objects are copied within the bucket. */
export interface CopyLimits {
  /** Bytes up to which an object is always copied with one CopyObject. */
  readonly wholeUpTo: number;
  /** The same before the server's copy rate is known; that copy measures it. */
  readonly wholeUntried: number;
  /** Bytes of the largest object that CopyObject accepts. */
  readonly wholeAtMost: number;
  /** The smallest part, in bytes. */
  readonly partSize: number;
  readonly maxParts: number;
  /** Parts that are copied at the same time. */
  readonly concurrency: number;
}

/** {@link S3StoreOptions}, validated and complete. */
export interface ResolvedS3Options extends S3ClientOptions {
  /** Empty, or ends with a slash. */
  readonly keyPrefix: string;
  readonly partSize: number;
  readonly fixedPartSize: boolean;
  readonly maxParts: number;
  readonly memory: BufferPoolLimits;
  readonly copyLimits: CopyLimits;
  readonly concurrency: number;
  readonly signParts: boolean;
  /** Milliseconds without activity after which an upload is collected. */
  readonly abandonedAfter: number;
  /**
   * Milliseconds without activity after which its own process gives an upload up: well before it is
   * collected.
   */
  readonly idleLimit: number;
}

const DEFAULT_TIMEOUTS_MS: Required<S3Timeouts> = {
  connect: 5_000,
  answer: 30_000,
  idle: 30_000,
  completion: 300_000,
  look: 20_000,
  retries: 75_000,
};

/** Milliseconds over which a sender's rate is measured. */
const RATE_WINDOW_MS = 5_000;

/**
 * A single CopyObject is faster where the server only notes that two objects share their bytes, and
 * for small objects. AWS copies the bytes one after another, so large objects are faster in
 * parallel parts. One copy shows which kind of server it is: at 100 MB/s, slow for S3, copying a
 * gigabyte takes ten seconds, once.
 */
const COPY_LIMITS = {
  wholeUpTo: 256 * MIB,
  wholeUntried: 1024 * MIB,
  wholeAtMost: 5 * 1024 * MIB,
  partSize: 128 * MIB,
  concurrency: 8,
} as const;

/** @throws FixityError `invalid-option` */
export function resolveS3Options(options: S3StoreOptions): ResolvedS3Options {
  const { fixedPartSize = false, abandonedAfter = 24, log = warn, timeouts = {} } = options;
  const partSize = whole("partSize", options.partSize ?? 8 * MIB, MIN_PART_BYTES, MAX_PART_BYTES);
  const maxParts = whole("maxParts", options.maxParts ?? MAX_PARTS, 1, MAX_PARTS);
  const endpoint = parseEndpoint(options);
  const publicEndpoint = options.publicEndpoint === undefined ? endpoint : parseEndpoint(options, "publicEndpoint");
  for (const [name, value] of Object.entries(timeouts)) whole(`timeouts.${name}`, value, 1, 2 ** 31 - 1);
  if (!(abandonedAfter >= 1)) throw invalid("abandonedAfter must be at least 1 hour.");
  return {
    bucket: options.bucket,
    region: options.region ?? "us-east-1",
    endpoint,
    publicEndpoint,
    credentials: staticCredentials(options),
    keyPrefix: cleanPrefix(options.keyPrefix ?? ""),
    partSize,
    fixedPartSize,
    maxParts,
    memory: {
      // Fewer than four parts would not let two uploads make progress at the same time.
      budget: whole("memoryBudget", options.memoryBudget ?? Math.max(96 * MIB, 4 * partSize), 4 * partSize),
      queue: whole("queueLimit", options.queueLimit ?? 1_000, 0),
      minRate: whole("minRate", options.minRate ?? 64 * KIB, 0),
      window: RATE_WINDOW_MS,
    },
    copyLimits: { ...COPY_LIMITS, maxParts },
    concurrency: whole("concurrency", options.concurrency ?? 4, 1, 1_000),
    connections: whole("connections", options.connections ?? 128, 1, 100_000),
    signParts: (options.partIntegrity ?? (endpoint.isSecure ? "unsigned" : "signed")) === "signed",
    timeouts: { ...DEFAULT_TIMEOUTS_MS, ...timeouts },
    attempts: options.attempts === undefined ? Infinity : whole("attempts", options.attempts, 1, 1_000),
    abandonedAfter: abandonedAfter * 3_600_000,
    idleLimit: (abandonedAfter * 3_600_000) / 2,
    log,
  };
}

function whole(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const limits = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  throw invalid(`${name} must be a whole number ${limits}.`);
}

function staticCredentials({ accessKey, secretKey, sessionToken }: S3StoreOptions): StaticCredentials | null {
  if (accessKey === undefined && secretKey === undefined && sessionToken === undefined) return null;
  if (!accessKey || !secretKey) throw invalid("accessKey and secretKey belong together: set both or neither.");
  return {
    accessKeyId: accessKey,
    secretAccessKey: secretKey,
    ...(sessionToken !== undefined && { sessionToken }),
  };
}

/**
 * Only characters that need no encoding in a URL, so that keys never do. S3 limits a key to 1,024
 * bytes.
 */
function cleanPrefix(prefix: string): string {
  if (prefix === "") return "";
  const clean = prefix.endsWith("/") ? prefix : `${prefix}/`;
  if (/^([A-Za-z0-9_.~-]+\/)+$/.test(clean) && !/(^|\/)\.{1,2}\//.test(clean) && clean.length <= 900) return clean;
  throw invalid("keyPrefix must consist of letters, digits and -_.~, with single slashes in between.");
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}

function warn(message: string, error?: unknown): void {
  process.emitWarning(message, {
    type: "FixityWarning",
    ...(error !== undefined && { detail: redacted(inspect(error)) }),
  });
}
