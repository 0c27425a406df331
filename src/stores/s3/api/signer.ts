import crypto, { createHash, createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { percentEncode } from "../../../base/percent-encode.ts";
import { FixityError } from "../../../core/errors.ts";

/** Stands for a payload's digest in a signature that does not cover the payload. */
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/** SHA-256 of no bytes. */
export const EMPTY_PAYLOAD_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM = "AWS4-HMAC-SHA256";
const SCOPE_SUFFIX = "aws4_request";

/**
 * Derived keys that are kept: today's, and those of presigned URLs whose validity began before
 * midnight.
 */
const MAX_DERIVED_KEYS = 8;

/**
 * The longest validity of a presigned URL ("Authenticating Requests: Using Query Parameters" in the
 * S3 API reference).
 */
const MAX_PRESIGN_SECONDS = 7 * 24 * 3600;

/**
 * Bytes hashed without a pause: a few hundred microseconds, during which the event loop stands
 * still.
 */
const HASH_SLICE_BYTES = 1024 * 1024;

/** Credentials of the configuration, as AWS names their parts. */
export interface StaticCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Credentials to sign with. */
export interface Credentials extends StaticCredentials {
  /** When temporary credentials expire, if known. What was signed with them expires with them. */
  readonly expiration?: Date;
}

/** Returns the credentials for one request: temporary ones are renewed before they expire. */
export type CredentialSource = () => Promise<Credentials>;

/**
 * The credentials of the configuration, or those of AWS's credential chain. The chain consists of a
 * few hundred files, so it is loaded with the first request that needs it. It caches credentials
 * and renews them five minutes before they expire.
 */
export function credentialSource(configured: StaticCredentials | null): CredentialSource {
  if (configured !== null) return async () => configured;
  let chain: Promise<CredentialSource> | null = null;
  return async () => {
    chain ??= loadCredentialChain();
    const source = await chain;
    return source();
  };
}

async function loadCredentialChain(): Promise<CredentialSource> {
  const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
  const provider = defaultProvider();
  return async () => {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await provider();
    return {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      ...(expiration !== undefined && { expiration }),
    };
  };
}

/** The content of a request. */
export interface Payload {
  readonly chunks: readonly Uint8Array[];
  /** Bytes. */
  readonly length: number;
  /** SHA-256 in hex, or {@link UNSIGNED_PAYLOAD}. The server refuses bytes with another digest. */
  readonly digest: string;
}

/** A payload of a few bytes, with its digest. */
export function payloadOf(content: string | Uint8Array): Payload {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return { chunks: [bytes], length: bytes.length, digest: sha256Hex([bytes]) };
}

/**
 * SHA-256 in hex, as signatures contain it. For a few bytes; larger payloads are hashed by {@link
 * digestOfChunks}.
 */
export function sha256Hex(chunks: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** SHA-256 in hex of what may be many megabytes. The event loop runs in between. */
export async function digestOfChunks(chunks: readonly Uint8Array[]): Promise<string> {
  return (await hashInSlices("sha256", chunks)).toString("hex");
}

/** The value of a `Content-MD5` field (RFC 1864), computed like {@link digestOfChunks}. */
export async function contentMd5(chunks: readonly Uint8Array[]): Promise<string> {
  return (await hashInSlices("md5", chunks)).toString("base64");
}

async function hashInSlices(algorithm: "sha256" | "md5", chunks: readonly Uint8Array[]): Promise<Buffer> {
  const hash = createHash(algorithm);
  let sinceYield = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    sinceYield += chunk.length;
    if (sinceYield < HASH_SLICE_BYTES) continue;
    sinceYield = 0;
    await yieldToEventLoop();
  }
  return hash.digest();
}

/** The parts of a request that a presigned URL signs. */
export interface PresignableRequest {
  readonly method: string;
  readonly host: string;
  /** Percent-encoded, as it is sent. S3 signs it without normalising it. */
  readonly path: string;
  /** Not encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** By lower-case name. All are signed, so none of them may be changed by a proxy. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The parts of a request that are signed. */
export interface SignableRequest extends PresignableRequest {
  /** SHA-256 of the payload in hex, or {@link UNSIGNED_PAYLOAD}. */
  readonly payload: string;
}

/**
 * When a presigned URL is valid: S3 reads a start in whole seconds, and a number of seconds from
 * there.
 */
export interface Validity {
  readonly from: Date;
  readonly seconds: number;
  readonly until: Date;
}

/**
 * The validity of a URL presigned now: at most `lifetime` seconds, and not beyond the expiry of the
 * credentials. It begins at the last multiple of half the lifetime. All URLs that any instance
 * makes for an object in that half are therefore the same text, and browsers and caches, which key
 * an object by its URL, recognise it. At least half the lifetime remains.
 *
 * @throws FixityError `invalid-option`, or `store-misconfigured` if the credentials have expired
 */
export function presignValidity(lifetime: number, credentialExpiry?: Date): Validity {
  if (!Number.isSafeInteger(lifetime) || lifetime < 1 || lifetime > MAX_PRESIGN_SECONDS) {
    throw new FixityError(
      "invalid-option",
      `lifetime must be a whole number of seconds from 1 to ${MAX_PRESIGN_SECONDS}.`,
    );
  }
  const step = Math.max(1, Math.floor(lifetime / 2));
  const now = Date.now() / 1000;
  const from = Math.floor(now / step) * step;
  const expiry = credentialExpiry === undefined ? Infinity : Math.floor(credentialExpiry.getTime() / 1000);
  const until = Math.min(from + lifetime, expiry);
  if (until <= now) throw new FixityError("store-misconfigured", "The store's credentials have expired.");
  return { from: new Date(from * 1000), seconds: until - from, until: new Date(until * 1000) };
}

/**
 * Signs requests with AWS Signature Version 4 ("Authenticating Requests" in the S3 API reference).
 * docs/decisions/0008-signatures-of-our-own.md explains why no library does it.
 */
export class Signer {
  readonly #credentials: CredentialSource;
  readonly #region: string;
  /** By day and secret. Deriving a key costs more than signing with it. */
  readonly #derivedKeys = new Map<string, KeyObject>();

  constructor(credentials: CredentialSource, region: string) {
    this.#credentials = credentials;
    this.#region = region;
  }

  /**
   * Returns all header fields to send: the given ones, those that the signature needs, and the
   * signature.
   */
  async sign({ host, payload, headers: given, ...request }: SignableRequest): Promise<Record<string, string>> {
    const credentials = await this.#credentials();
    const time = timestamp(new Date());
    const headers: Record<string, string> = { ...given, host, "x-amz-content-sha256": payload, "x-amz-date": time };
    if (credentials.sessionToken) headers["x-amz-security-token"] = credentials.sessionToken;
    const { signedNames, text } = canonicalRequest({
      ...request,
      headers,
      query: queryString(request.query),
      payload,
    });
    const signature = this.#signature(text, credentials, time);
    headers["authorization"] =
      `${ALGORITHM} Credential=${this.#credential(credentials, time)}, SignedHeaders=${signedNames}, Signature=${signature}`;
    return headers;
  }

  /** Returns the whole query of a presigned URL. The signature does not cover a payload. */
  async presign(
    { host, ...request }: PresignableRequest,
    { from, seconds }: Pick<Validity, "from" | "seconds">,
  ): Promise<Record<string, string>> {
    const credentials = await this.#credentials();
    const time = timestamp(from);
    const headers = { ...request.headers, host };
    const query: Record<string, string> = {
      ...request.query,
      "X-Amz-Algorithm": ALGORITHM,
      "X-Amz-Credential": this.#credential(credentials, time),
      "X-Amz-Date": time,
      "X-Amz-Expires": String(seconds),
      "X-Amz-SignedHeaders": Object.keys(headers).sort().join(";"),
    };
    if (credentials.sessionToken) query["X-Amz-Security-Token"] = credentials.sessionToken;
    const { text } = canonicalRequest({ ...request, headers, query: queryString(query), payload: UNSIGNED_PAYLOAD });
    query["X-Amz-Signature"] = this.#signature(text, credentials, time);
    return query;
  }

  #signature(request: string, credentials: Credentials, time: string): string {
    const text = `${ALGORITHM}\n${time}\n${this.#scope(time)}\n${crypto.hash("sha256", request)}`;
    return createHmac("sha256", this.#derivedKey(credentials, dayOf(time)))
      .update(text)
      .digest("hex");
  }

  #credential({ accessKeyId }: Credentials, time: string): string {
    return `${accessKeyId}/${this.#scope(time)}`;
  }

  #scope(time: string): string {
    return `${dayOf(time)}/${this.#region}/s3/${SCOPE_SUFFIX}`;
  }

  #derivedKey({ secretAccessKey }: Credentials, day: string): KeyObject {
    const id = day + secretAccessKey;
    const known = this.#derivedKeys.get(id);
    if (known !== undefined) return known;
    let bytes = Buffer.from(`AWS4${secretAccessKey}`);
    for (const part of [day, this.#region, "s3", SCOPE_SUFFIX]) {
      bytes = createHmac("sha256", bytes).update(part).digest();
    }
    const key = createSecretKey(bytes);
    if (this.#derivedKeys.size >= MAX_DERIVED_KEYS) this.#derivedKeys.clear();
    this.#derivedKeys.set(id, key);
    return key;
  }
}

/**
 * A query as it is signed and sent: sorted by name, with all but the unreserved characters encoded.
 */
export function queryString(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/**
 * The canonical form of a request whose query is encoded, and the list of its signed header fields.
 */
function canonicalRequest({
  method,
  path,
  query,
  headers,
  payload,
}: Omit<SignableRequest, "host" | "query"> & { query: string }) {
  const names = Object.keys(headers).sort();
  let fields = "";
  for (const name of names) fields += `${name}:${collapseWhitespace(headers[name] ?? "")}\n`;
  const signedNames = names.join(";");
  return { signedNames, text: `${method}\n${path}\n${query}\n${fields}\n${signedNames}\n${payload}` };
}

function collapseWhitespace(value: string): string {
  return value.replace(/[ \t]+/g, " ").trim();
}

/** `20130524T000000Z` */
function timestamp(date: Date): string {
  const iso = date.toISOString();
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}Z`;
}

function dayOf(time: string): string {
  return time.slice(0, 8);
}
