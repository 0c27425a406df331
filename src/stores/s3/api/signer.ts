import crypto, { createHash, createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { CredentialSource, Keys } from "./credentials.ts";
import { queryText } from "./query.ts";
import type { Validity } from "../validity.ts";

/** In the place of a payload's digest: nobody vouches for it. */
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/** SHA-256 of nothing. */
export const NO_PAYLOAD = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM = "AWS4-HMAC-SHA256";

/** The last part of every scope. */
const SCOPE_END = "aws4_request";

/** Keys of days that are kept: today's, and those of presigned URLs that began before midnight. */
const MOST_KEYS = 8;

/** What of a request is signed. */
export interface Signable {
  readonly method: string;
  readonly host: string;
  /** As it is sent, its characters encoded: S3 signs it as it is. */
  readonly path: string;
  /** Not yet encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** By names in lower case. All are signed, so that none may be one that changes on the way. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A {@link Signable} that is to be sent, and what it carries. */
export interface SignableRequest extends Signable {
  /** SHA-256 of the payload in hex, or `UNSIGNED-PAYLOAD`. */
  readonly payload: string;
}

/**
 * Signs requests with AWS Signature Version 4 ("Authenticating Requests" in the S3 API reference). Why not by a library:
 * docs/decisions/0008-signatures-of-our-own.md.
 */
export class Signer {
  readonly #credentials: CredentialSource;
  readonly #region: string;
  /** By day and secret. To derive one costs more than to sign with it. */
  readonly #keys = new Map<string, KeyObject>();

  constructor(credentials: CredentialSource, region: string) {
    this.#credentials = credentials;
    this.#region = region;
  }

  /** The header fields to send: the given ones, and the signature over them. */
  async sign({ host, payload, headers: given, ...request }: SignableRequest): Promise<Record<string, string>> {
    const keys = await this.#credentials();
    const moment = momentOf(new Date());
    const headers: Record<string, string> = { ...given, host, "x-amz-content-sha256": payload, "x-amz-date": moment };
    if (keys.sessionToken) headers["x-amz-security-token"] = keys.sessionToken;
    const { signed, text } = canonical({ ...request, headers, query: queryText(request.query), payload });
    const signature = this.#signature(text, keys, moment);
    headers["authorization"] =
      `${ALGORITHM} Credential=${this.#credential(keys, moment)}, SignedHeaders=${signed}, Signature=${signature}`;
    return headers;
  }

  /** The query of a URL that anybody may request: the given one, and the signature. The payload is nobody's word. */
  async presign({ host, ...request }: Signable, { from, seconds }: Validity): Promise<Record<string, string>> {
    const keys = await this.#credentials();
    const moment = momentOf(from);
    const headers = { ...request.headers, host };
    const query: Record<string, string> = {
      ...request.query,
      "X-Amz-Algorithm": ALGORITHM,
      "X-Amz-Credential": this.#credential(keys, moment),
      "X-Amz-Date": moment,
      "X-Amz-Expires": String(seconds),
      "X-Amz-SignedHeaders": Object.keys(headers).sort().join(";"),
    };
    if (keys.sessionToken) query["X-Amz-Security-Token"] = keys.sessionToken;
    const { text } = canonical({ ...request, headers, query: queryText(query), payload: UNSIGNED_PAYLOAD });
    query["X-Amz-Signature"] = this.#signature(text, keys, moment);
    return query;
  }

  #signature(canonicalRequest: string, keys: Keys, moment: string): string {
    const text = `${ALGORITHM}\n${moment}\n${this.#scope(moment)}\n${crypto.hash("sha256", canonicalRequest)}`;
    return createHmac("sha256", this.#keyOf(keys, dayOf(moment)))
      .update(text)
      .digest("hex");
  }

  #credential({ accessKeyId }: Keys, moment: string): string {
    return `${accessKeyId}/${this.#scope(moment)}`;
  }

  #scope(moment: string): string {
    return `${dayOf(moment)}/${this.#region}/s3/${SCOPE_END}`;
  }

  #keyOf({ secretAccessKey }: Keys, day: string): KeyObject {
    const name = day + secretAccessKey;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    let key = Buffer.from(`AWS4${secretAccessKey}`);
    for (const part of [day, this.#region, "s3", SCOPE_END]) key = createHmac("sha256", key).update(part).digest();
    const made = createSecretKey(key);
    if (this.#keys.size >= MOST_KEYS) this.#keys.clear();
    this.#keys.set(name, made);
    return made;
  }
}

/** The text that stands for a request, and the names of its header fields. Its query is encoded already. */
function canonical({
  method,
  path,
  query,
  headers,
  payload,
}: Omit<SignableRequest, "host" | "query"> & { query: string }) {
  const names = Object.keys(headers).sort();
  let fields = "";
  for (const name of names) fields += `${name}:${plain(headers[name] ?? "")}\n`;
  const signed = names.join(";");
  return { signed, text: `${method}\n${path}\n${query}\n${fields}\n${signed}\n${payload}` };
}

/** A value without white space at its ends, and with single spaces inside. */
function plain(value: string): string {
  return value.replace(/[ \t]+/g, " ").trim();
}

/** `20130524T000000Z` */
function momentOf(date: Date): string {
  const iso = date.toISOString();
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}Z`;
}

function dayOf(moment: string): string {
  return moment.slice(0, 8);
}

/** SHA-256 in hex, as a payload's digest is written. */
export function sha256Hex(chunks: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
