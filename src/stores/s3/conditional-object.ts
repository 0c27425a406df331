import { randomBytes } from "node:crypto";
import type { CallOptions, S3Client } from "./api/client.ts";
import { Retrier } from "./api/retry.ts";
import { expectTag, failedWith, type S3Error } from "./api/s3-error.ts";
import { payloadOf } from "./api/signer.ts";
import type { ResponseHead } from "./api/transport.ts";
import { type Conditions, mayRefuseCondition, tagIn } from "./conditions.ts";

/** What one of these objects holds. */
export interface Revised {
  /**
   * Different in everything that is ever written, so that a writer recognizes its own write after
   * the response was lost, and so that the entity tag changes with every write.
   */
  readonly revision: string;
}

/** A new revision: 32 hex digits. */
export function newRevision(): string {
  return randomBytes(16).toString("hex");
}

/** How the state is written to an object. */
export interface ObjectFormat<T extends Revised> {
  readonly contentType: string;
  readonly format: (state: T) => string | Uint8Array;
  /** @throws FixityError if the object holds something else */
  readonly parse: (text: string) => T;
}

/** A state as it was read. */
export interface StoredState<T extends Revised> {
  readonly state: T;
  readonly etag: string;
}

/** The object has the given state. */
export interface Written {
  readonly isWritten: true;
  readonly etag: string;
}

/** The object has not, or no longer, the given state. */
export interface NotWritten<T extends Revised> {
  readonly isWritten: false;
  /** What it has instead; `null` if there is no object. */
  readonly current: StoredState<T> | null;
  /**
   * The failure of an attempt that may have been carried out all the same. Another writer has then
   * perhaps replaced what this one wrote.
   */
  readonly doubt?: S3Error;
}

/** {@link NotWritten}, and why the condition was refused; `null` if it was not sent. */
export interface NotCreated<T extends Revised> extends NotWritten<T> {
  readonly refusal: S3Error | null;
}

const PUT = "PutObject";

/**
 * Small objects that several writers share. Only the writer that has read an object last replaces
 * it (`If-Match`), and one of several creates it (`If-None-Match`). Where the server never meets a
 * condition, the object is read again before it is written, which leaves a gap between the two.
 */
export class ConditionalObjects<T extends Revised> {
  readonly #client: S3Client;
  readonly #conditions: Conditions;
  readonly #format: ObjectFormat<T>;

  constructor(client: S3Client, conditions: Conditions, format: ObjectFormat<T>) {
    this.#client = client;
    this.#conditions = conditions;
    this.#format = format;
  }

  /** `null` if there is none. */
  async read(key: string, options: CallOptions = {}): Promise<StoredState<T> | null> {
    const request = { operation: "GetObject", method: "GET", key, ...options };
    try {
      return await this.#client.call(request, (answer) => ({
        etag: expectTag(request.operation, answer),
        state: this.#format.parse(answer.text),
      }));
    } catch (error) {
      if (failedWith(error, 404) && error.code !== "NoSuchBucket") return null;
      throw error;
    }
  }

  /**
   * Writes the first state of an object. If there is none afterwards either (`current` is `null`),
   * the condition was refused without cause, or is not sent to this bucket: the caller decides
   * whether to write without it.
   */
  async create(key: string, state: T): Promise<Written | NotCreated<T>> {
    const conditions = this.#conditions;
    const doubts = new Doubts();
    const written = conditions.enforcesIfAbsent ? await this.#put(key, state, { "if-none-match": "*" }, doubts) : null;
    if (typeof written === "string") {
      conditions.noteIfAbsentMet();
      return { isWritten: true, etag: written };
    }
    const current = await this.read(key);
    // The response to an attempt may have been lost.
    if (current?.state.revision === state.revision) return { isWritten: true, etag: current.etag };
    return { isWritten: false, current, refusal: written, ...doubts.found };
  }

  /**
   * Replaces the object with this entity tag.
   *
   * @throws S3Error if it is not known whether it was replaced; a later read shows it by the
   *   revision
   */
  async replace(key: string, etag: string, state: T): Promise<Written | NotWritten<T>> {
    const conditions = this.#conditions;
    const retrier = new Retrier(this.#client.retryLimits, { closed: this.#client.closed });
    const doubts = new Doubts();
    while (conditions.usesIfMatch) {
      const first = conditions.form;
      let refusal: S3Error | null = null;
      for (const form of [first, first === "quoted" ? "bare" : "quoted"] as const) {
        const written = await this.#put(key, state, { "if-match": tagIn(form, etag) }, doubts);
        if (typeof written === "string") {
          conditions.form = form;
          return { isWritten: true, etag: written };
        }
        const current = await this.read(key);
        // The response to an attempt was lost.
        if (current?.state.revision === state.revision) return { isWritten: true, etag: current.etag };
        if (current?.etag !== etag) return { isWritten: false, current, ...doubts.found };
        refusal = written;
      }
      // As far as a read shows, the condition holds, and the server refuses it in both forms.
      if (refusal === null || (await conditions.isIfMatchUseless(refusal))) break;
      if (!(await retrier.waitToRetry(refusal))) throw refusal;
    }
    const current = await this.read(key);
    if (current?.etag !== etag) return { isWritten: false, current, ...doubts.found };
    return { isWritten: true, etag: await this.write(key, state) };
  }

  /** Writes an object whatever there is, and returns its entity tag. */
  async write(key: string, state: T): Promise<string> {
    return this.#client.call(this.#putRequest(key, state), readTag);
  }

  /** Like {@link write}, without retries. */
  async writeOnce(key: string, state: T): Promise<string> {
    return this.#client.callOnce(this.#putRequest(key, state), readTag);
  }

  /** Returns the entity tag, or why the condition was refused. */
  async #put(
    key: string,
    state: T,
    condition: Readonly<Record<string, string>>,
    doubts: Doubts,
  ): Promise<string | S3Error> {
    const request = this.#putRequest(key, state, condition);
    try {
      return await this.#client.call({ ...request, onRetry: (failure) => doubts.note(failure) }, readTag);
    } catch (error) {
      // AWS answers 404 to If-Match if there is no object.
      if (mayRefuseCondition(error) || (failedWith(error, 404) && error.code !== "NoSuchBucket")) return error;
      throw error;
    }
  }

  #putRequest(key: string, state: T, condition: Readonly<Record<string, string>> = {}) {
    const { contentType, format } = this.#format;
    const headers = { "content-type": contentType, ...condition };
    return { operation: PUT, method: "PUT", key, headers, body: payloadOf(format(state)) };
  }
}

function readTag(response: ResponseHead): string {
  return expectTag(PUT, response);
}

/**
 * Codes of status 500 and above with which nothing was written. Ceph answers `UnknownError` to a
 * write that lost a race against another one.
 */
const NOT_CARRIED_OUT: ReadonlySet<string> = new Set(["SlowDown", "UnknownError"]);

/** Remembers the last failed attempt that may have been carried out all the same. */
class Doubts {
  #last: S3Error | null = null;

  note(failure: S3Error): void {
    const { status, code } = failure;
    const isRefused = (status !== null && status >= 400 && status < 500) || NOT_CARRIED_OUT.has(code ?? "");
    if (!isRefused) this.#last = failure;
  }

  get found(): { readonly doubt?: S3Error } {
    return this.#last === null ? {} : { doubt: this.#last };
  }
}
