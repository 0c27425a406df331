import type { S3Client } from "./api/client.ts";
import type { Log } from "./api/client-options.ts";
import { deleteObject } from "./api/objects.ts";
import { expectTag, failedWith, type S3Error } from "./api/s3-error.ts";
import { payloadOf } from "./api/signer.ts";
import type { Layout } from "./layout.ts";
import { protect } from "./send/multipart-upload.ts";

/** How a server reads `If-Match`. */
export type TagForm =
  /** `If-Match: "<tag>"` (RFC 9110, section 13.1.1). */
  | "quoted"
  /** `If-Match: <tag>`: Ceph compares the field with the bare tag. */
  | "bare";

/**
 * Milliseconds for which a condition is omitted after it proved useless. Versioning may be
 * suspended meanwhile, or a proxy that refused conditions repaired.
 */
const CONDITION_OMITTED_MS = 600_000;

/**
 * Refusals in a row of `If-None-Match: *` for keys without an object, after which the condition is
 * omitted.
 */
const MAX_FALSE_REFUSALS = 3;

/**
 * Codes of status 400 that are about the content or the signature of a request, never about its
 * condition.
 */
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
 * Whether a conditional PutObject may have been refused because of its condition. Providers that do
 * not support conditions disagree on how to say so: 501 (Backblaze B2), 400 with various codes,
 * 405, 412 or 409 to everything.
 */
export function mayRefuseCondition(error: unknown): error is S3Error {
  if (failedWith(error, 405, 409, 412, 501)) return true;
  return failedWith(error, 400) && !NOT_ABOUT_CONDITIONS.has(error.code ?? "");
}

/** Whether the server states that it does not implement the condition. */
function isUnsupported(error: S3Error): boolean {
  return error.status === 501 || error.code === "NotImplemented";
}

/**
 * What this process has learned about conditional writes to its bucket.
 *
 * - `If-None-Match: *` only saves work: blobs are named by their digest, and uploads by random ids.
 *   It is omitted after a few refusals that a read contradicts.
 * - `If-Match` fences off a second writer, so it is omitted only on proof: {@link isIfMatchUseless}
 *   writes to a key that no other instance knows. A refusal for an actual record proves nothing,
 *   because another instance may have replaced it.
 */
export class Conditions {
  /** The form that the server accepted last. */
  form: TagForm = "quoted";
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #log: Log;
  #falseRefusals = 0;
  /** `performance.now()` until which a condition is omitted. */
  #ifAbsentOmittedUntil = -Infinity;
  #ifMatchOmittedUntil = -Infinity;
  /** Resolves to whether the bucket refuses every `If-Match`. */
  #proof: Promise<boolean> | null = null;
  readonly #warned = new Set<string>();

  constructor(client: S3Client, layout: Layout, log: Log) {
    this.#client = client;
    this.#layout = layout;
    this.#log = log;
  }

  /** Whether to send `If-None-Match: *`. */
  get usesIfAbsent(): boolean {
    return performance.now() >= this.#ifAbsentOmittedUntil;
  }

  /** Whether to send `If-Match`. */
  get usesIfMatch(): boolean {
    return performance.now() >= this.#ifMatchOmittedUntil;
  }

  /**
   * `If-None-Match: *` held. Only this proves that it works: some servers refuse every conditional
   * request.
   */
  noteIfAbsentMet(): void {
    this.#falseRefusals = 0;
  }

  /**
   * `If-None-Match: *` was refused although a read found no object, or the server does not
   * implement it.
   */
  noteIfAbsentRefused(refusal: S3Error): void {
    this.#falseRefusals += 1;
    if (!isUnsupported(refusal) && this.#falseRefusals < MAX_FALSE_REFUSALS) return;
    this.#falseRefusals = 0;
    this.#ifAbsentOmittedUntil = performance.now() + CONDITION_OMITTED_MS;
    this.#warn(
      "refuses If-None-Match for keys without an object. " +
        "fixity looks for the object first instead, which costs one more request for each small file",
      refusal,
    );
  }

  /**
   * Whether this bucket refuses every `If-Match`. To be called after it refused the condition in
   * both forms although a read returns that very tag (Ceph 16: every bucket with versioning or
   * object lock). If so, the condition is omitted for ten minutes.
   */
  async isIfMatchUseless(refusal: S3Error): Promise<boolean> {
    if (!this.usesIfMatch) return true;
    if (isUnsupported(refusal)) this.#noteIfMatchUseless(refusal);
    else if (await this.#refusesEveryIfMatch()) this.#noteIfMatchUseless(refusal);
    return !this.usesIfMatch;
  }

  #noteIfMatchUseless(refusal: S3Error): void {
    this.#ifMatchOmittedUntil = performance.now() + CONDITION_OMITTED_MS;
    this.#warn(
      "refuses every If-Match, as Ceph does with versioning or object lock. fixity reads the record of an upload before it " +
        "replaces it instead: uploads can be resumed, but two servers that continue one upload at the same moment may not " +
        "notice each other. Route each client to one server, run only one, or use a bucket without versioning and object lock",
      refusal,
    );
  }

  #warn(what: string, refusal: S3Error): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#log(`the bucket ${this.#client.bucket} at ${this.#client.endpoint.address} ${what}`, refusal);
  }

  /** Uploads that need the proof at the same time share it. */
  async #refusesEveryIfMatch(): Promise<boolean> {
    this.#proof ??= this.#client
      .retry({}, () => this.#refusesItsOwnTag())
      .finally(() => {
        this.#proof = null;
      });
    return this.#proof;
  }

  /** Each request is sent once: a retry after a lost response would rightly be refused. */
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
    const request = { operation, method: "PUT", key, headers, body: payloadOf(text) };
    return this.#client.callOnce(request, (response) => expectTag(operation, response));
  }
}

/** An entity tag in the form that a server reads in a condition. */
export function tagIn(form: TagForm, etag: string): string {
  return form === "quoted" ? etag : etag.replaceAll('"', "");
}
