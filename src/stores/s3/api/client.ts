import type { Readable } from "node:stream";
import { FixityError } from "../../../core/errors.ts";
import type { PresignedUrl } from "../../../core/presigning.ts";
import { fieldOf, readText, type WireAnswer } from "./answer-reader.ts";
import { refuseError } from "./answers.ts";
import { md5OfChunks } from "./chunk-digest.ts";
import { credentialSource, type CredentialSource } from "./credentials.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ResolvedS3Options } from "../options.ts";
import { type RetryLimits, retrying } from "./retry.ts";
import type { S3Error } from "./s3-error.ts";
import { failureOf, lostRequest, scrubber, unsigned } from "./failures.ts";
import { queryText } from "./query.ts";
import { NO_PAYLOAD, Signer } from "./signer.ts";
import { type OpenAnswer, Transport, type WireRequest } from "./transport.ts";
import { validityOf } from "../validity.ts";

/**
 * How long a call is repeated if S3 cannot be reached or is overloaded.
 *
 * - `outage`: as long as `timeouts.retries`. For everything an upload needs: its bytes lie in memory, and their sender would
 *   have to send them again.
 * - `reader`: 10 seconds. For what costs nothing to ask again (a download, a question), and for tidying up that the
 *   collector does in the end: a clear 503 is of more use than a request that hangs.
 * - `quick`: about a second. For checks that are to report a wrong setting.
 */
export type Patience = "outage" | "reader" | "quick";

/** How a call is ended, and how long it is repeated. */
export interface CallOptions {
  /** Cuts the request off. */
  readonly signal?: AbortSignal | undefined;
  /** Lets the request finish, but begins no other attempt and ends the pause before it. */
  readonly lastAttempt?: AbortSignal | undefined;
  /** @default "outage" */
  readonly patience?: Patience | undefined;
}

/** A request as the operations make it. */
export interface S3Request extends CallOptions {
  /** As S3 calls it: `PutObject`. */
  readonly operation: string;
  readonly method: string;
  /** `null`: the bucket itself. */
  readonly key: string | null;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Payload;
  /** The answer may take as long as the work behind it (completions, copies). */
  readonly isLong?: boolean;
  /** Called before a request is sent again, with why the attempt before it failed. */
  readonly onRetry?: ((failure: S3Error) => void) | undefined;
}

const READER_PATIENCE_MS = 10_000;
const QUICK_ATTEMPTS = 5;

/** What a request carries. */
export interface Payload {
  readonly chunks: readonly Uint8Array[];
  /** Bytes. */
  readonly length: number;
  /** SHA-256 in hex, or `UNSIGNED-PAYLOAD`. The server refuses other bytes. */
  readonly digest: string;
}

/** An answer of status 2xx that has been read. */
export interface S3Answer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly text: string;
}

/** An answer of status 2xx whose content is still coming in. */
export interface S3Download {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: Readable;
}

/** A field by its name in lower case. */
export type AnswerHeaders = (name: string) => string | null;

/** Speaks S3 with one bucket: signs, sends, tries again, and makes an error of every answer that is not 2xx. */
export class S3Client {
  readonly endpoint: Endpoint;
  readonly bucket: string;
  readonly limits: RetryLimits;
  /** Milliseconds between looks for an object whose making has not been confirmed. */
  readonly lookEvery: number;
  /** Milliseconds in which an answer that is read as a whole has to be complete. */
  readonly answerTime: number;
  readonly #limitsOf: Readonly<Record<Patience, RetryLimits>>;
  readonly #publicEndpoint: Endpoint;
  readonly #credentials: CredentialSource;
  readonly #signer: Signer;
  readonly #transport: Transport;
  readonly #closed = new AbortController();
  /** The bucket wants `Content-MD5` with everything that is stored (AWS: object lock with a default retention). */
  #sendsMd5 = false;

  constructor(options: ResolvedS3Options) {
    const { endpoint, region, keys, timeouts, attempts } = options;
    this.endpoint = endpoint;
    this.bucket = options.bucket;
    this.#publicEndpoint = options.publicEndpoint;
    this.limits = { attempts, time: timeouts.retries };
    this.#limitsOf = {
      outage: this.limits,
      reader: { attempts, time: Math.min(timeouts.retries, READER_PATIENCE_MS) },
      quick: { attempts: Math.min(attempts, QUICK_ATTEMPTS), time: Math.min(timeouts.retries, READER_PATIENCE_MS) },
    };
    this.answerTime = timeouts.answer;
    this.lookEvery = timeouts.look;
    this.#credentials = credentialSource(keys);
    this.#signer = new Signer(this.#credentials, region);
    this.#transport = new Transport(endpoint, options);
  }

  /**
   * Sends a request, again where it fails in passing: for requests that may be carried out twice.
   *
   * @param read takes from the answer what is asked for; an `S3Error` of it counts as one of the request
   * @throws S3Error
   */
  async call<T>(request: S3Request, read: (answer: S3Answer) => T): Promise<T> {
    return this.retrying(request, () => this.once(request, read));
  }

  /** Does `work` as a request is repeated. `work` must be idempotent. */
  async retrying<T>(
    request: Pick<S3Request, "patience" | "lastAttempt" | "signal" | "isLong" | "onRetry">,
    work: () => Promise<T>,
  ): Promise<T> {
    const { patience = "outage", lastAttempt, signal, isLong, onRetry } = request;
    const ends = { signal: lastAttempt ?? signal, closed: this.closed, isLong, onRetry };
    return retrying(this.#limitsOf[patience], ends, work);
  }

  /** Whether the bucket has refused to store anything without `Content-MD5`, which every request since then carries. */
  get sendsMd5(): boolean {
    return this.#sendsMd5;
  }

  /** Aborted by {@link destroy}. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Like {@link call}, without trying again. */
  async once<T>(request: S3Request, read: (answer: S3Answer) => T): Promise<T> {
    const sentMd5 = this.#sendsMd5;
    const answer = await this.#answerTo(request);
    if (!isSuccess(answer.status)) {
      const failure = await this.#failureOf(request, answer);
      if (sentMd5 || request.body === undefined || !wantsMd5(failure)) throw failure;
      this.#sendsMd5 = true;
      return this.once(request, read);
    }
    const whole = { status: answer.status, headers: (name: string) => fieldOf(answer, name), text: answer.text };
    refuseError(request.operation, whole);
    return read(whole);
  }

  /**
   * Sends a request, and gives its answer's content as it comes in.
   *
   * @param look at the header section, before anything is read: an `S3Error` of it counts as one of the request
   * @throws S3Error
   */
  async download(request: S3Request, look: (answer: S3Download) => void): Promise<S3Download> {
    return this.retrying(request, async () => {
      const { statusCode: status, body, headers } = await this.#open(request);
      const download = { status, headers: (name: string) => fieldOf({ headers }, name), body };
      try {
        look(download);
      } catch (error) {
        body.on("error", () => null).destroy();
        throw error;
      }
      return download;
    });
  }

  /**
   * A URL by which anybody may make a request, for so many seconds at most.
   *
   * @throws S3Error
   * @throws FixityError `invalid-option` for another lifetime than S3 knows
   */
  async presign(request: S3Request, lifetime: number): Promise<PresignedUrl> {
    const { operation, method, key, query = {}, headers = {} } = request;
    const endpoint = this.#publicEndpoint;
    const { host, origin } = endpoint;
    const path = endpoint.path(key);
    try {
      const { expiration } = await this.#credentials();
      const validity = validityOf(lifetime, expiration);
      const signed = await this.#signer.presign({ method, host, path, query, headers }, validity);
      return { url: `${origin}${path}?${queryText(signed)}`, expires: validity.until };
    } catch (error) {
      throw error instanceof FixityError ? error : unsigned(operation, error);
    }
  }

  /** Ends all requests, and all waiting for another attempt. */
  async destroy(): Promise<void> {
    this.#closed.abort();
    await this.#transport.destroy();
  }

  async #answerTo(request: S3Request): Promise<WireAnswer> {
    const reader = this.#transport.send(await this.#wireRequest(request));
    try {
      return await reader.answer;
    } catch (error) {
      throw lost(request, reader.status, error);
    }
  }

  async #open(request: S3Request): Promise<OpenAnswer> {
    const wire = await this.#wireRequest(request);
    let status: number | null = null;
    let failed: WireAnswer;
    try {
      const answer = await this.#transport.open(wire);
      status = answer.statusCode;
      if (isSuccess(status)) return answer;
      failed = { status, headers: answer.headers, text: await readText(answer.body, this.answerTime) };
    } catch (error) {
      throw lost(request, status, error);
    }
    throw await this.#failureOf(request, failed);
  }

  async #wireRequest(request: S3Request): Promise<WireRequest> {
    const { operation, method, key, query = {}, headers = {}, body, isLong = false, signal } = request;
    const { host } = this.endpoint;
    const path = this.endpoint.path(key);
    const payload = body?.digest ?? NO_PAYLOAD;
    try {
      const md5 = this.#sendsMd5 && body !== undefined ? { "content-md5": await md5OfChunks(body.chunks) } : {};
      const signed = await this.#signer.sign({ method, host, path, query, headers: { ...headers, ...md5 }, payload });
      const text = queryText(query);
      const [content, length] = body === undefined || body.length === 0 ? [null, 0] : [body.chunks, body.length];
      return {
        method,
        path: text === "" ? path : `${path}?${text}`,
        headers: signed,
        body: content,
        length,
        isLong,
        signal,
      };
    } catch (error) {
      throw unsigned(operation, error);
    }
  }

  async #failureOf({ operation }: S3Request, answer: WireAnswer): Promise<S3Error> {
    return failureOf(operation, answer, scrubber(await this.#credentials()));
  }
}

/**
 * "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters", in AWS's words
 * (400 InvalidRequest). Others word it differently.
 */
function wantsMd5({ status, code, message }: S3Error): boolean {
  if (status !== 400 && status !== 411) return false;
  return (
    code === "MissingContentMD5" || (code !== "BadDigest" && code !== "InvalidDigest" && /content-md5/i.test(message))
  );
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** What fails on the way becomes an `S3Error`, but the reason of an aborted signal stays what it is. */
function lost({ operation, signal }: S3Request, status: number | null, error: unknown): unknown {
  return signal?.aborted === true ? signal.reason : lostRequest(operation, status, error);
}
