import { createHash, createHmac, createSecretKey, hash, type KeyObject } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import type { CredentialSource } from "./credentials.ts";
import type { Validity } from "./validity.ts";

/** In the place of a payload's digest: nobody vouches for it. */
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

const DIGEST_FIELD = "x-amz-content-sha256";

/** SHA-256 of nothing. */
export const NO_PAYLOAD = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** What of a request is signed. */
export interface Signable {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** SHA-256, with a key or without, in the shape that the signing library asks for. Little is hashed, and in one go. */
class Sha256 {
  readonly #key: KeyObject | null;
  readonly #data: Uint8Array[] = [];

  constructor(key?: string | ArrayBuffer | ArrayBufferView) {
    this.#key = key === undefined ? null : keyOf(key);
  }

  update(data: Uint8Array): void {
    this.#data.push(data);
  }

  async digest(): Promise<Uint8Array> {
    const data = this.#data.length === 1 ? (this.#data[0] ?? "") : Buffer.concat(this.#data);
    return this.#key === null ? hash("sha256", data, "buffer") : createHmac("sha256", this.#key).update(data).digest();
  }

  reset(): void {
    // The library makes a new one for everything it hashes.
  }
}

/** By the bytes that the library hands over: it keeps the key of a day, and to prepare it costs more than to use it. */
const keys = new WeakMap<object, KeyObject>();

function keyOf(key: string | ArrayBuffer | ArrayBufferView): KeyObject {
  if (typeof key === "string") return createSecretKey(key, "utf8");
  const known = keys.get(key);
  if (known !== undefined) return known;
  const bytes = ArrayBuffer.isView(key)
    ? new Uint8Array(key.buffer, key.byteOffset, key.byteLength)
    : new Uint8Array(key);
  const made = createSecretKey(bytes);
  keys.set(key, made);
  return made;
}

/** Signs requests with AWS Signature Version 4. */
export class Signer {
  readonly #library: SignatureV4;
  readonly #protocol: string;

  constructor(credentials: CredentialSource, region: string, secure: boolean) {
    this.#protocol = secure ? "https:" : "http:";
    this.#library = new SignatureV4({
      credentials,
      region,
      service: "s3",
      sha256: Sha256,
      // S3 signs the path as it is, and the digest of the payload is always given by the caller.
      uriEscapePath: false,
      applyChecksum: false,
    });
  }

  /** The header fields to send: the given ones, and the signature over them. */
  async sign(request: Signable): Promise<Record<string, string>> {
    const { headers } = await this.#library.sign(this.#request(request));
    return headers;
  }

  /** The query of a URL that anybody may request: the given one, and the signature. The payload is nobody's word. */
  async presign(request: Signable, { from, seconds }: Validity): Promise<Readonly<Record<string, string>>> {
    const headers = { ...request.headers, [DIGEST_FIELD]: UNSIGNED_PAYLOAD };
    const { query } = await this.#library.presign(this.#request({ ...request, headers }), {
      signingDate: from,
      expiresIn: seconds,
      // S3 takes the payload for unsigned wherever the signature stands in the query; a client need not repeat it
      unhoistableHeaders: new Set([DIGEST_FIELD]),
      unsignableHeaders: new Set([DIGEST_FIELD]),
    });
    return query as Record<string, string>;
  }

  #request({ method, host, path, query, headers }: Signable) {
    return {
      method,
      protocol: this.#protocol,
      hostname: host,
      path,
      query: { ...query },
      headers: { ...headers, host },
    };
  }
}

/** SHA-256 in hex, as a payload's digest is written. */
export function sha256Hex(chunks: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
