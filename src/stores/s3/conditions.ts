import { expectTag } from "./api/answers.ts";
import type { Payload, S3Client } from "./api/client.ts";
import type { Layout } from "./layout.ts";
import { protect } from "./send/multipart-upload.ts";
import { deleteObject } from "./api/objects.ts";
import type { Log } from "./options.ts";
import { failedWith, type S3Error } from "./api/s3-error.ts";
import { sha256Hex } from "./api/signer.ts";

/** How a server wants `If-Match` to be written. */
export type TagForm =
  /** `If-Match: "<tag>"` (RFC 9110, section 13.1.1). */
  | "quoted"
  /** `If-Match: <tag>`: Ceph compares the field with the bare tag. */
  | "bare";

/**
 * Milliseconds for which conditions are left out after they have proved useless. A bucket's versioning can be suspended, and
 * a proxy that refused them can be repaired.
 */
const RETRY_CONDITIONS_AFTER_MS = 600_000;

/** Refusals without one that was met in between, of `If-None-Match: *` for keys without an object, after which the condition is left out. */
const MAX_FALSE_REFUSALS = 3;

/** Codes of status 400 that concern the content or the signature of a request, and never its condition. */
const NOT_ABOUT_CONDITIONS: ReadonlySet<string> = new Set([
  "AuthorizationHeaderMalformed",
  "BadDigest",
  "EntityTooLarge",
  "ExpiredToken",
  "IncompleteBody",
  "InvalidDigest",
  "InvalidToken",
  "KeyTooLongError",
  "RequestTimeout",
  "XAmzContentSHA256Mismatch",
]);

/**
 * Whether a conditional PutObject may have been refused because of its condition. Providers that do not support conditions
 * disagree on how to say so: 501 (Backblaze B2), 400 with various codes, 405, 412 or 409 to everything.
 */
export function mayRefuseCondition(error: unknown): error is S3Error {
  if (failedWith(error, 405, 409, 412, 501)) return true;
  return failedWith(error, 400) && !NOT_ABOUT_CONDITIONS.has(error.code ?? "");
}

/** Whether the server says in so many words that it does not implement the condition. */
function isUnsupported(error: S3Error): boolean {
  return error.status === 501 || error.code === "NotImplemented";
}

/**
 * What this process has learned about conditional writes to its bucket.
 *
 * - `If-None-Match: *` only saves work (blobs are named by their digest, uploads by random ids), so after a few refusals
 *   that a read contradicts it is left out.
 * - `If-Match` fences off a second writer, so it is given up only on proof: {@link isIfMatchUseless} writes to a key that
 *   nobody else can know. A refusal on a real record proves nothing, because another instance may have replaced it.
 */
export class Conditions {
  /** The form that was understood last. */
  form: TagForm = "quoted";
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #log: Log;
  #falseRefusals = 0;
  #ifAbsentUselessUntil = -Infinity;
  #ifMatchUselessUntil = -Infinity;
  #proof: Promise<boolean> | null = null;
  readonly #warned = new Set<string>();

  constructor(client: S3Client, layout: Layout, log: Log) {
    this.#client = client;
    this.#layout = layout;
    this.#log = log;
  }

  /** Whether to send `If-None-Match: *`. */
  get usesIfAbsent(): boolean {
    return performance.now() >= this.#ifAbsentUselessUntil;
  }

  /** Whether to send `If-Match`. */
  get usesIfMatch(): boolean {
    return performance.now() >= this.#ifMatchUselessUntil;
  }

  /** `If-None-Match: *` was met. A refusal is no evidence, even if there is an object: some servers refuse everything. */
  noteIfAbsentMet(): void {
    this.#falseRefusals = 0;
  }

  /** `If-None-Match: *` was refused although a read found no object, or the server does not implement it. */
  noteIfAbsentRefused(refusal: S3Error): void {
    this.#falseRefusals += 1;
    if (!isUnsupported(refusal) && this.#falseRefusals < MAX_FALSE_REFUSALS) return;
    this.#falseRefusals = 0;
    this.#ifAbsentUselessUntil = performance.now() + RETRY_CONDITIONS_AFTER_MS;
    this.#warn(
      "refuses If-None-Match although nothing is stored under the key. " +
        "fixity looks before it stores instead, which costs one request more for each small file",
      refusal,
    );
  }

  /**
   * Finds out whether this bucket ever meets `If-Match`, after it has refused the condition in both forms although a read
   * shows that very tag (Ceph 16: every bucket with versioning or object lock). The answer is remembered for ten minutes if
   * it is yes.
   */
  async isIfMatchUseless(refusal: S3Error): Promise<boolean> {
    if (!this.usesIfMatch) return true;
    if (isUnsupported(refusal)) this.#noteIfMatchUseless(refusal);
    else if (await this.#prove()) this.#noteIfMatchUseless(refusal);
    return !this.usesIfMatch;
  }

  #noteIfMatchUseless(refusal: S3Error): void {
    this.#ifMatchUselessUntil = performance.now() + RETRY_CONDITIONS_AFTER_MS;
    this.#warn(
      "never meets If-Match, as on Ceph with versioning or object lock. fixity reads the record of an upload before it " +
        "replaces it instead: uploads can be resumed, but two servers that continue one upload in the same moment may both " +
        "go on. Route each client to one server, run only one, or use a bucket without versioning and object lock",
      refusal,
    );
  }

  #warn(what: string, refusal: S3Error): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#log(`the bucket ${this.#client.bucket} at ${this.#client.endpoint.place} ${what}`, refusal);
  }

  /** One proof at a time, however many uploads need it. */
  async #prove(): Promise<boolean> {
    this.#proof ??= this.#client
      .retrying({}, () => this.#refusesItsOwnTag())
      .finally(() => {
        this.#proof = null;
      });
    return this.#proof;
  }

  /** Each request is sent once: the repetition of one whose answer was lost would be refused for good reason. */
  async #refusesItsOwnTag(): Promise<boolean> {
    const key = this.#layout.newStaging();
    const unprotect = protect(key);
    try {
      const etag = await this.#put(key, "written", {});
      for (const form of ["quoted", "bare"] as const) {
        try {
          await this.#put(key, `replaced, ${form}`, { "if-match": tagIn(form, etag) });
          return false;
        } catch (error) {
          if (!mayRefuseCondition(error)) throw error;
        }
      }
      return true;
    } finally {
      await deleteObject(this.#client, key).catch((error: unknown) =>
        this.#log("an object that tested conditional writes could not be removed", error),
      );
      unprotect();
    }
  }

  async #put(key: string, text: string, condition: Readonly<Record<string, string>>): Promise<string> {
    const operation = "PutObject";
    const headers = { "content-type": "text/plain", ...condition };
    const request = { operation, method: "PUT", key, headers, body: textPayload(text) };
    return this.#client.once(request, (answer) => expectTag(operation, answer));
  }
}

/** An entity tag as a server reads it in a condition. */
export function tagIn(form: TagForm, etag: string): string {
  return form === "quoted" ? etag : etag.replaceAll('"', "");
}

function textPayload(text: string): Payload {
  const bytes = Buffer.from(text);
  return { chunks: [bytes], length: bytes.length, digest: sha256Hex([bytes]) };
}
