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
  #ignoresIfAbsent = false;
  #ignoresIfMatch = false;
  /** Resolves to whether the bucket refuses every `If-Match`. */
  #ifMatchProof: Promise<boolean> | null = null;
  /** Resolves to whether the bucket refuses every `If-None-Match: *`. */
  #ifAbsentProof: Promise<boolean> | null = null;
  #refusalTest: Promise<void> | null = null;
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

  /** Whether `If-None-Match: *` is sent, and not known to be ignored. */
  get enforcesIfAbsent(): boolean {
    return this.usesIfAbsent && !this.#ignoresIfAbsent;
  }

  /** Whether to send `If-Match`. */
  get usesIfMatch(): boolean {
    return performance.now() >= this.#ifMatchOmittedUntil && !this.#ignoresIfMatch;
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
    if (isUnsupported(refusal) || this.#falseRefusals >= MAX_FALSE_REFUSALS) this.#noteIfAbsentUseless(refusal);
  }

  #noteIfAbsentUseless(refusal: S3Error): void {
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

  /**
   * Whether this bucket refuses every `If-None-Match: *`. To be called after it refused the
   * condition although a read finds no object, at a key that other instances write to. If so, the
   * condition is omitted for ten minutes.
   */
  async isIfAbsentUseless(refusal: S3Error): Promise<boolean> {
    if (!this.usesIfAbsent) return true;
    if (isUnsupported(refusal) || (await this.#refusesEveryIfAbsent())) this.#noteIfAbsentUseless(refusal);
    return !this.usesIfAbsent;
  }

  /**
   * Tests, once for this process, whether the bucket refuses conditions that do not hold. Some
   * servers accept and ignore them; the object is then read before it is written. Costs four
   * requests.
   */
  async testRefusals(): Promise<void> {
    this.#refusalTest ??= this.#client
      .retry({}, () => this.#withTestObject((key) => this.#findIgnored(key)))
      .catch((error: unknown) => {
        this.#refusalTest = null;
        throw error;
      });
    return this.#refusalTest;
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

  #warn(what: string, refusal: S3Error | null): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#log(`the bucket ${this.#client.bucket} at ${this.#client.endpoint.address} ${what}`, refusal);
  }

  /** Uploads that need the proof at the same time share it. */
  async #refusesEveryIfMatch(): Promise<boolean> {
    this.#ifMatchProof ??= this.#client
      .retry({}, () => this.#withTestObject((key) => this.#refusesItsOwnTag(key)))
      .finally(() => {
        this.#ifMatchProof = null;
      });
    return this.#ifMatchProof;
  }

  async #refusesEveryIfAbsent(): Promise<boolean> {
    this.#ifAbsentProof ??= this.#client
      .retry({}, () => this.#withTestObject((key) => this.#isRefused(key, { "if-none-match": "*" })))
      .finally(() => {
        this.#ifAbsentProof = null;
      });
    return this.#ifAbsentProof;
  }

  /**
   * Runs a test with a key that no other instance knows. Each request of it is sent once: a retry
   * after a lost response would rightly be refused.
   */
  async #withTestObject<T>(test: (key: string) => Promise<T>): Promise<T> {
    const key = this.#layout.newStaging();
    const unprotect = protect(key);
    try {
      return await test(key);
    } finally {
      await deleteObject(this.#client, key).catch((error: unknown) =>
        this.#log("an object that tested conditional writes could not be removed", error),
      );
      unprotect();
    }
  }

  async #refusesItsOwnTag(key: string): Promise<boolean> {
    const etag = await this.#put(key, "written", {});
    for (const form of ["quoted", "bare"] as const) {
      if (!(await this.#isRefused(key, { "if-match": tagIn(form, etag) }))) return false;
    }
    return true;
  }

  async #findIgnored(key: string): Promise<void> {
    await this.#put(key, "written", {});
    if (!(await this.#isRefused(key, { "if-none-match": "*" }))) {
      this.#ignoresIfAbsent = true;
      this.#warn(`ignores If-None-Match. ${IGNORED_MEANING}`, null);
    }
    if (!(await this.#isRefused(key, { "if-match": tagIn(this.form, OTHER_TAG) }))) {
      this.#ignoresIfMatch = true;
      this.#warn(`ignores If-Match. ${IGNORED_MEANING}`, null);
    }
  }

  async #isRefused(key: string, condition: Readonly<Record<string, string>>): Promise<boolean> {
    try {
      await this.#put(key, `written with ${Object.keys(condition).join()}`, condition);
      return false;
    } catch (error) {
      if (mayRefuseCondition(error)) return true;
      throw error;
    }
  }

  async #put(key: string, text: string, condition: Readonly<Record<string, string>>): Promise<string> {
    const operation = "PutObject";
    const headers = { "content-type": "text/plain", ...condition };
    const request = { operation, method: "PUT", key, headers, body: payloadOf(text) };
    return this.#client.callOnce(request, (response) => expectTag(operation, response));
  }
}

/** The entity tag of no object here. */
const OTHER_TAG = `"${"0".repeat(32)}"`;

const IGNORED_MEANING =
  "fixity reads records of uploads and documents before it writes them instead: two servers that write the same one at " +
  "the same moment may not notice each other";

/** An entity tag in the form that a server reads in a condition. */
export function tagIn(form: TagForm, etag: string): string {
  return form === "quoted" ? etag : etag.replaceAll('"', "");
}
