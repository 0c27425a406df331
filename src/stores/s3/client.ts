import type { Readable } from "node:stream";
import { FixityError } from "../../core/errors.ts";
import type { PresignedUrl } from "../../core/presigning.ts";
import { fieldOf, readText, type WireAnswer } from "./answer-reader.ts";
import { refuseError } from "./answers.ts";
import { credentialSource, type CredentialSource } from "./credentials.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ResolvedS3Options } from "./options.ts";
import { type RetryLimits, retrying } from "./retry.ts";
import type { S3Error } from "./s3-error.ts";
import { failureOf, lostRequest, scrubber, unsigned } from "./failures.ts";
import { queryText } from "./query.ts";
import { NO_PAYLOAD, Signer } from "./signer.ts";
import { type OpenAnswer, Transport, type WireRequest } from "./transport.ts";
import { validityOf } from "./validity.ts";

/** A request as the operations make it. */
export interface S3Request {
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
  /** Cuts the request off. */
  readonly signal?: AbortSignal | undefined;
  /** Lets the request go on, but begins no other attempt. */
  readonly lastAttempt?: AbortSignal | undefined;
}

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
  readonly #publicEndpoint: Endpoint;
  readonly #credentials: CredentialSource;
  readonly #signer: Signer;
  readonly #transport: Transport;

  constructor(options: ResolvedS3Options) {
    const { endpoint, region, keys, connections, timeouts, attempts } = options;
    this.endpoint = endpoint;
    this.bucket = options.bucket;
    this.#publicEndpoint = options.publicEndpoint;
    this.limits = { attempts, time: timeouts.retries };
    this.#credentials = credentialSource(keys);
    this.#signer = new Signer(this.#credentials, region);
    this.#transport = new Transport(endpoint, connections, timeouts);
  }

  /**
   * Sends a request, again where it fails in passing: for requests that may be carried out twice.
   *
   * @param read takes from the answer what is asked for; an `S3Error` of it counts as one of the request
   * @throws S3Error
   */
  async call<T>(request: S3Request, read: (answer: S3Answer) => T): Promise<T> {
    return retrying(this.limits, request.lastAttempt ?? request.signal, () => this.once(request, read));
  }

  /** Like {@link call}, without trying again. */
  async once<T>(request: S3Request, read: (answer: S3Answer) => T): Promise<T> {
    const answer = await this.#answerTo(request);
    if (!isSuccess(answer.status)) throw await this.#failureOf(request, answer);
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
    return retrying(this.limits, request.signal, async () => {
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

  async destroy(): Promise<void> {
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
      failed = { status, headers: answer.headers, text: await readText(answer.body) };
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
      const signed = await this.#signer.sign({ method, host, path, query, headers, payload });
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

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** What fails on the way becomes an `S3Error`, but the reason of an aborted signal stays what it is. */
function lost({ operation, signal }: S3Request, status: number | null, error: unknown): unknown {
  return signal?.aborted === true ? signal.reason : lostRequest(operation, status, error);
}
