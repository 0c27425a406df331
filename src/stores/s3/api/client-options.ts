import { FixityError } from "../../../core/errors.ts";
import type { StaticCredentials } from "./signer.ts";

/** How long the store waits for S3, in milliseconds. */
export interface S3Timeouts {
  /** For a connection. @default 5,000 */
  readonly connect?: number;
  /**
   * For a response to begin once the request is sent, or while the server reads nothing of the
   * request; and as long again for the whole response, however slowly it trickles in.
   *
   * @default 30,000
   */
  readonly answer?: number;
  /** For the next bytes of a file that is read. @default 30,000 */
  readonly idle?: number;
  /**
   * For the whole response to a completion or a copy, which may work through terabytes.
   *
   * @default 300,000
   */
  readonly completion?: number;
  /**
   * Between looks for the object of a completion or copy that S3 has not answered yet.
   *
   * @default 20,000
   */
  readonly look?: number;
  /**
   * From the first failure of a request on, during which it is sent again; at most 10,000 for
   * requests that read or clean up. Running uploads therefore survive an outage of a minute.
   *
   * @default 75,000
   */
  readonly retries?: number;
}

/**
 * Receives failures that fail no call: an upload that could not be aborted, a damaged blob that was
 * replaced.
 */
export type Log = (message: string, error?: unknown) => void;

/** How an {@link S3Client} reaches its bucket. */
export interface S3ClientOptions {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: Endpoint;
  /** Where presigned URLs point. */
  readonly publicEndpoint: Endpoint;
  /** `null`: AWS's credential chain. */
  readonly credentials: StaticCredentials | null;
  /** Connections for all requests but downloads. */
  readonly connections: number;
  readonly timeouts: Required<S3Timeouts>;
  /** Attempts per request; `Infinity` leaves it to `timeouts.retries`. */
  readonly attempts: number;
  readonly log: Log;
}

/** The URLs of a bucket ("Virtual hosting of buckets" in the S3 user guide). */
export interface Endpoint {
  /**
   * `https://bucket.s3.eu-central-1.amazonaws.com`, or the server's own origin if the bucket stands
   * in the path.
   */
  readonly origin: string;
  /** As in a `Host` field. */
  readonly host: string;
  /** The path of the bucket: empty, or `/bucket`. An object's path is that, a slash and its key. */
  readonly bucketPath: string;
  /** Host and path without the bucket, for messages. */
  readonly address: string;
  readonly isSecure: boolean;
}

/** The options that determine an endpoint. */
export interface EndpointOptions {
  readonly bucket: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly publicEndpoint?: string;
  readonly forcePathStyle?: boolean;
}

/**
 * @param name the option that contains the URL
 * @throws FixityError `invalid-option`
 */
export function parseEndpoint(options: EndpointOptions, name: "endpoint" | "publicEndpoint" = "endpoint"): Endpoint {
  const { bucket, region, [name]: endpoint } = options;
  // AWS's rules and a little more: older and other servers also accept capitals, underscores and
  // longer names.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket) || bucket.includes("..")) {
    throw new FixityError("invalid-option", "bucket must be the name of a bucket.");
  }
  if (region !== undefined && !/^[A-Za-z0-9-]{1,63}$/.test(region)) {
    throw new FixityError("invalid-option", "region must be the name of a region, such as eu-central-1.");
  }
  const isPathStyle = options.forcePathStyle ?? (endpoint !== undefined || bucket.includes("."));
  const url = endpoint === undefined ? awsUrl(region) : parseUrl(name, endpoint);
  const parentPath = url.pathname.replace(/\/+$/, "");
  const host = isPathStyle ? url.host : `${bucket}.${url.host}`;
  return {
    origin: `${url.protocol}//${host}`,
    host,
    bucketPath: isPathStyle ? `${parentPath}/${bucket}` : parentPath,
    address: url.host + parentPath,
    isSecure: url.protocol === "https:",
  };
}

function awsUrl(region: string | undefined): URL {
  if (region === undefined) {
    throw new FixityError(
      "invalid-option",
      "region is missing: without an endpoint, the store is AWS, which needs it.",
    );
  }
  return new URL(`https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`);
}

function parseUrl(name: string, endpoint: string): URL {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint) ? endpoint : `https://${endpoint}`);
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.search === "" && url.hash === "") {
    return url;
  }
  throw new FixityError("invalid-option", `${name} must be an http(s) URL without user, query or fragment.`);
}
