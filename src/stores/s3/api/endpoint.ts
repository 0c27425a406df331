import { FixityError } from "../../../core/errors.ts";
import type { S3StoreOptions } from "../options.ts";

/** Where a bucket is, and how its URLs are made ("Virtual hosting of buckets" in the S3 user guide). */
export class Endpoint {
  /** `https://bucket.s3.eu-central-1.amazonaws.com`, or the endpoint's own where the bucket stands in the path. */
  readonly origin: string;
  /** As in a `Host` field. */
  readonly host: string;
  /** For a person: without the bucket. */
  readonly place: string;
  readonly secure: boolean;
  readonly #base: string;

  private constructor(url: URL, bucket: string, pathStyle: boolean) {
    const parent = url.pathname.replace(/\/+$/, "");
    this.place = url.host + parent;
    this.secure = url.protocol === "https:";
    this.host = pathStyle ? url.host : `${bucket}.${url.host}`;
    this.origin = `${url.protocol}//${this.host}`;
    this.#base = pathStyle ? `${parent}/${bucket}` : parent;
  }

  /**
   * @param name of the option that has the URL
   * @throws FixityError `invalid-option`
   */
  static of(options: S3StoreOptions, name: "endpoint" | "publicEndpoint" = "endpoint"): Endpoint {
    const { bucket, region, [name]: endpoint } = options;
    // AWS's rules and a little more: older and other servers also take capitals, underscores and longer names.
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket) || bucket.includes("..")) {
      throw new FixityError("invalid-option", "bucket must be the name of a bucket.");
    }
    if (region !== undefined && !/^[A-Za-z0-9-]{1,63}$/.test(region)) {
      throw new FixityError("invalid-option", "region must be the name of a region, such as eu-central-1.");
    }
    const pathStyle = options.forcePathStyle ?? (endpoint !== undefined || bucket.includes("."));
    return new Endpoint(endpoint === undefined ? awsUrl(region) : parseUrl(name, endpoint), bucket, pathStyle);
  }

  /** The path of an object, or of the bucket itself. Keys are made of characters that need no encoding (layout.ts). */
  path(key: string | null): string {
    return key === null ? this.#base || "/" : `${this.#base}/${key}`;
  }
}

function awsUrl(region: string | undefined): URL {
  if (region === undefined) {
    throw new FixityError("invalid-option", "region is missing: AWS needs it, and without an endpoint this is AWS.");
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
