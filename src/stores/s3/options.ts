import { inspect } from "node:util";
import { FixityError } from "../../core/errors.ts";
import { Endpoint } from "./api/endpoint.ts";
import type { BufferPoolLimits } from "./buffers/buffer-pool.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes that S3 takes as a part that is not the last one, at least ("Amazon S3 multipart upload limits"). */
export const SMALLEST_PART: number = 5 * MIB;

/** Bytes that S3 takes as one part, at most (the same source). */
export const LARGEST_PART: number = 5 * 1024 * MIB;

/** Tells of trouble that fails no call: an upload that could not be aborted, a damaged blob that was replaced. */
export type Log = (message: string, error?: unknown) => void;

/** How long the store waits for S3, in milliseconds. */
export interface S3Timeouts {
  /** @default 5,000: for a connection */
  readonly connect?: number;
  /**
   * @default 30,000: for an answer to begin once the request is sent, or while nothing of it can be sent; and as long again
   * for the whole of it, however it trickles in
   */
  readonly answer?: number;
  /** @default 30,000: for the next bytes of a file that is read */
  readonly idle?: number;
  /** @default 300,000: for the whole answer to a completion or a copy, which may work through terabytes */
  readonly completion?: number;
  /** @default 20,000: between looks whether an object is there whose completion or copy has not been answered */
  readonly look?: number;
  /**
   * @default 75,000: from the first failure of a request on, in which it is sent again; a request that reads or tidies up
   * 10,000 at most. So an outage of a minute is survived by what is being uploaded.
   */
  readonly retries?: number;
}

/** How an S3 store is set up. */
export interface S3StoreOptions {
  /** Name of the bucket. It has to be there. */
  readonly bucket: string;
  /** Region of the bucket, such as `eu-central-1`. Needed with AWS; elsewhere `us-east-1` where it is left out. */
  readonly region?: string;
  /**
   * Where S3 is spoken, such as `https://minio.example.com`; `https` where no scheme is given.
   *
   * @default AWS's, by the region
   */
  readonly endpoint?: string;
  /**
   * Where clients reach S3, if that is another address than ours (a service in the same cluster, say): presigned URLs are
   * made for it.
   *
   * @default the `endpoint`
   */
  readonly publicEndpoint?: string;
  /** Without keys, AWS's credential chain is asked: environment, profile, SSO, web identity, container, instance. */
  readonly accessKey?: string;
  readonly secretKey?: string;
  /** The third part of temporary keys. */
  readonly sessionToken?: string;
  /** Put in front of every key, with a slash behind it. */
  readonly keyPrefix?: string;
  /**
   * The bucket's name stands in the path, not in the host name.
   *
   * @default whether there is an `endpoint`, or the bucket's name has a dot (no certificate fits such a host)
   */
  readonly forcePathStyle?: boolean;
  /** Bytes of a part. What is not larger is stored by one request. @default 8 MiB */
  readonly partSize?: number;
  /** All parts of an upload but the last have `partSize` bytes, as R2 wants it; no growth for huge files. @default false */
  readonly fixedPartSize?: boolean;
  /** Most parts that an upload may have. @default 10,000 */
  readonly maxParts?: number;
  /** Bytes held for all uploads together. @default 96 MiB */
  readonly memoryBudget?: number;
  /** Uploads that may wait for memory before the next one is refused with `store-busy`. @default 1,000 */
  readonly queueLimit?: number;
  /** Bytes a second below which an upload that holds a part buffer is ended while others wait for one. @default 64 KiB */
  readonly minRate?: number;
  /** Parts of one upload that are sent at once. @default 4 */
  readonly concurrency?: number;
  /** Connections for everything but downloads, each of which has one of its own. @default 128 */
  readonly connections?: number;
  /**
   * How S3 can tell that a part came whole. `signed`: by its SHA-256, which costs us hashing it again; `unsigned`: left to
   * TLS. Files of one part are always signed, their digest being known.
   *
   * @default "unsigned" over https, "signed" over http
   */
  readonly partIntegrity?: "signed" | "unsigned";
  readonly timeouts?: S3Timeouts;
  /** Most times that a request is sent, should `timeouts.retries` be too long all the same. @default unlimited */
  readonly attempts?: number;
  /** Hours without a sign of life after which an upload counts as abandoned, and is removed by `collect`. @default 24 */
  readonly abandonedAfter?: number;
  /** Where trouble goes that fails no call. @default Node's process warnings, of type `FixityWarning` */
  readonly log?: Log;
}

/** Keys as they were given, or `null` where the credential chain is to be asked. */
export interface StaticKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** How objects are copied inside the bucket. */
export interface CopyLimits {
  /** Bytes up to which an object is copied by one CopyObject in any case. */
  readonly wholeUpTo: number;
  /** The same before the server's copy rate is known; that copy measures it. */
  readonly wholeUntried: number;
  /** Bytes of the largest object that one CopyObject takes. */
  readonly wholeAtMost: number;
  /** Bytes of a part, at least. */
  readonly partSize: number;
  readonly maxParts: number;
  /** Parts that are copied at once. */
  readonly concurrency: number;
}

/** {@link S3StoreOptions}, checked and complete. */
export interface ResolvedS3Options {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: Endpoint;
  readonly publicEndpoint: Endpoint;
  readonly keys: StaticKeys | null;
  /** Empty, or ends in a slash. */
  readonly keyPrefix: string;
  readonly partSize: number;
  readonly fixedPartSize: boolean;
  readonly maxParts: number;
  readonly memory: BufferPoolLimits;
  readonly copyLimits: CopyLimits;
  readonly concurrency: number;
  readonly connections: number;
  readonly signParts: boolean;
  readonly timeouts: Required<S3Timeouts>;
  readonly attempts: number;
  /** Milliseconds without a sign of life after which an upload is collected. */
  readonly abandonedAfter: number;
  /** Milliseconds without a sign of life after which its own process gives it up: well before it is collected. */
  readonly idleLimit: number;
  readonly log: Log;
}

const TIMEOUTS: Required<S3Timeouts> = {
  connect: 5_000,
  answer: 30_000,
  idle: 30_000,
  completion: 300_000,
  look: 20_000,
  retries: 75_000,
};

/** Milliseconds over which the rate of a sender is measured while others wait. */
const RATE_WINDOW = 5_000;

/**
 * One CopyObject is quicker where the server only notes that two objects share their bytes, and where there are few bytes;
 * AWS copies them one after another, so that large objects are quicker in parallel parts. Which of them it is, one copy
 * tells: at 100 MB/s, slow for S3, one of a gigabyte takes ten seconds, once.
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
  const partSize = whole("partSize", options.partSize ?? 8 * MIB, SMALLEST_PART, LARGEST_PART);
  const maxParts = whole("maxParts", options.maxParts ?? 10_000, 1, 10_000);
  const endpoint = Endpoint.of(options);
  const publicEndpoint = options.publicEndpoint === undefined ? endpoint : Endpoint.of(options, "publicEndpoint");
  for (const [name, value] of Object.entries(timeouts)) whole(`timeouts.${name}`, value, 1, 2 ** 31 - 1);
  if (!(abandonedAfter >= 1)) throw invalid("abandonedAfter must be at least an hour.");
  return {
    bucket: options.bucket,
    region: options.region ?? "us-east-1",
    endpoint,
    publicEndpoint,
    keys: staticKeys(options),
    keyPrefix: cleanPrefix(options.keyPrefix ?? ""),
    partSize,
    fixedPartSize,
    maxParts,
    memory: {
      // With less than four parts, two uploads could not go on at once.
      budget: whole("memoryBudget", options.memoryBudget ?? Math.max(96 * MIB, 4 * partSize), 4 * partSize),
      queue: whole("queueLimit", options.queueLimit ?? 1_000, 0),
      minRate: whole("minRate", options.minRate ?? 64 * KIB, 0),
      window: RATE_WINDOW,
    },
    copyLimits: { ...COPY_LIMITS, maxParts },
    concurrency: whole("concurrency", options.concurrency ?? 4, 1, 1_000),
    connections: whole("connections", options.connections ?? 128, 1, 100_000),
    signParts: (options.partIntegrity ?? (endpoint.secure ? "unsigned" : "signed")) === "signed",
    timeouts: { ...TIMEOUTS, ...timeouts },
    attempts: options.attempts === undefined ? Infinity : whole("attempts", options.attempts, 1, 1_000),
    abandonedAfter: abandonedAfter * 3_600_000,
    idleLimit: (abandonedAfter * 3_600_000) / 2,
    log,
  };
}

function whole(name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const limits = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `between ${least} and ${most}`;
  throw invalid(`${name} must be a whole number, ${limits}.`);
}

function staticKeys({ accessKey, secretKey, sessionToken }: S3StoreOptions): StaticKeys | null {
  if (accessKey === undefined && secretKey === undefined && sessionToken === undefined) return null;
  if (!accessKey || !secretKey) throw invalid("accessKey and secretKey belong together: give both, or none.");
  return {
    accessKeyId: accessKey,
    secretAccessKey: secretKey,
    ...(sessionToken !== undefined && { sessionToken }),
  };
}

/** Only what stands in a URL as it is, so that keys never need to be encoded. A key has at most 1,024 bytes. */
function cleanPrefix(prefix: string): string {
  if (prefix === "") return "";
  const clean = prefix.endsWith("/") ? prefix : `${prefix}/`;
  if (/^([A-Za-z0-9_.~-]+\/)+$/.test(clean) && !/(^|\/)\.{1,2}\//.test(clean) && clean.length <= 900) return clean;
  throw invalid("keyPrefix must be made of letters, digits and -_.~, with single slashes between them.");
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}

function warn(message: string, error?: unknown): void {
  process.emitWarning(message, { type: "FixityWarning", ...(error !== undefined && { detail: inspect(error) }) });
}
