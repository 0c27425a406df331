/**
 * S3 as a protocol. Nothing in this folder knows of blobs, or of what the store's keys mean; the
 * linter enforces it.
 *
 * - client.ts signs, sends and retries requests, and turns error responses into errors. Every
 *   request passes through it.
 * - signer.ts signs (AWS Signature Version 4), with credentials of the configuration or of AWS's
 *   chain.
 * - transport.ts has the connections, their deadlines, and the detection of responses that arrive
 *   twice.
 * - retry.ts decides whether and when a failed request is sent again.
 * - s3-error.ts is the error of a failed request, and how a response becomes one; xml.ts parses
 *   responses.
 * - objects.ts, multipart.ts and listing.ts are the operations, a function each.
 * - client-options.ts has the options, and the URLs of a bucket.
 */
import { type StoreRequestEvent, storeRequestEnded } from "../../../core/diagnostics.ts";
import { FixityError } from "../../../core/errors.ts";
import type { Endpoint, S3ClientOptions } from "./client-options.ts";
import { retry, type RetryLimits } from "./retry.ts";
import {
  errorResponse,
  lostResponse,
  redactor,
  rejectErrorDocument,
  type S3Error,
  signingFailure,
} from "./s3-error.ts";
import {
  contentMd5,
  credentialSource,
  type CredentialSource,
  EMPTY_PAYLOAD_DIGEST,
  type Payload,
  presignValidity,
  queryString,
  Signer,
} from "./signer.ts";
import { readText, type S3Download, type S3Response, Transport, type WireRequest } from "./transport.ts";

/**
 * How long a request is retried while S3 is unreachable or overloaded.
 *
 * - `upload`: for `timeouts.retries`. For everything that an upload needs: its bytes are in memory,
 *   and the client would have to send them again.
 * - `short`: for 10 seconds. For what is cheap to request again (downloads, lookups), and for
 *   cleaning up that the collector does otherwise: a clear 503 is more useful than a request that
 *   hangs.
 * - `check`: for about a second. For checks that are to report a wrong setting.
 */
export type RetryPolicy = "upload" | "short" | "check";

const SHORT_RETRIES_MS = 10_000;
const MAX_CHECK_ATTEMPTS = 5;

/** How a call is cancelled, and how long it is retried. */
export interface CallOptions {
  /** Cancels the request under way and all further attempts. */
  readonly signal?: AbortSignal | undefined;
  /** Lets the request under way finish, but prevents further attempts. */
  readonly retrySignal?: AbortSignal | undefined;
  /** @default "upload" */
  readonly retryPolicy?: RetryPolicy | undefined;
}

/** A request of one S3 operation. */
export interface S3Request extends CallOptions {
  /** S3's name for it: `PutObject`. */
  readonly operation: string;
  readonly method: string;
  /** `null`: the bucket itself. */
  readonly key: string | null;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Payload;
  /** The response takes as long as the work behind it (completions, copies). */
  readonly isLongRunning?: boolean;
  /** Called before each further attempt, with the failure of the one before. */
  readonly onRetry?: ((failure: S3Error) => void) | undefined;
}

/** A presigned URL and its expiry. */
export interface PresignedRequest {
  readonly url: string;
  readonly expires: Date;
}

/** Counts the attempts of a call for `fixity:store-request`. */
type CallTrace = { -readonly [Name in "attempts" | "status"]: StoreRequestEvent[Name] };

/**
 * Speaks S3 with one bucket: signs, sends and retries requests, and turns every response that is
 * not 2xx into an error.
 */
export class S3Client {
  readonly endpoint: Endpoint;
  readonly bucket: string;
  /** The limits of the `upload` policy. */
  readonly retryLimits: RetryLimits;
  /** Milliseconds between looks for the object of an unanswered completion or copy. */
  readonly lookIntervalMs: number;
  readonly #limitsOf: Readonly<Record<RetryPolicy, RetryLimits>>;
  /** Milliseconds within which a response that is read as a whole must be complete. */
  readonly responseTimeoutMs: number;
  readonly #publicEndpoint: Endpoint;
  readonly #credentials: CredentialSource;
  readonly #signer: Signer;
  readonly #transport: Transport;
  readonly #closing = new AbortController();
  #sendsMd5 = false;

  constructor(options: S3ClientOptions) {
    const { attempts, timeouts } = options;
    const shortTime = Math.min(timeouts.retries, SHORT_RETRIES_MS);
    this.endpoint = options.endpoint;
    this.bucket = options.bucket;
    this.retryLimits = { attempts, time: timeouts.retries };
    this.lookIntervalMs = timeouts.look;
    this.#limitsOf = {
      upload: this.retryLimits,
      short: { attempts, time: shortTime },
      check: { attempts: Math.min(attempts, MAX_CHECK_ATTEMPTS), time: shortTime },
    };
    this.responseTimeoutMs = timeouts.answer;
    this.#publicEndpoint = options.publicEndpoint;
    this.#credentials = credentialSource(options.credentials);
    this.#signer = new Signer(this.#credentials, options.region);
    this.#transport = new Transport(options);
  }

  /**
   * Whether the bucket has refused to store anything without `Content-MD5`, as AWS does for object
   * lock with a default retention. All requests since then carry it.
   */
  get sendsMd5(): boolean {
    return this.#sendsMd5;
  }

  /** Aborted by {@link destroy}. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Sends a request, and again after transient failures, so the operation must be idempotent.
   *
   * @param read extracts the result from the response; an `S3Error` that it throws counts as a
   *   failure of the request
   * @throws S3Error
   * @throws the reason of `signal`, or of `retrySignal`
   */
  async call<T>(request: S3Request, read: (response: S3Response) => T): Promise<T> {
    return this.#traced(request, (trace) => this.retry(request, () => this.#attempt(request, read, trace)));
  }

  /** Like {@link call}, without retries. */
  async callOnce<T>(request: S3Request, read: (response: S3Response) => T): Promise<T> {
    return this.#traced(request, (trace) => this.#attempt(request, read, trace));
  }

  /**
   * Sends a request and returns its response while the content is still arriving. Retries end with
   * the header section.
   *
   * @param check looks at the header section; an `S3Error` that it throws counts as a failure of
   *   the request
   * @throws S3Error
   */
  async download(request: S3Request, check: (download: S3Download) => void): Promise<S3Download> {
    return this.#traced(request, (trace) =>
      this.retry(request, async () => {
        const download = await this.#open(request, trace);
        try {
          check(download);
        } catch (error) {
          download.body.on("error", () => null).destroy();
          throw error;
        }
        return download;
      }),
    );
  }

  /** Runs `work` as a request is retried. `work` must be idempotent. */
  async retry<T>(
    request: Pick<S3Request, "retryPolicy" | "retrySignal" | "signal" | "isLongRunning" | "onRetry">,
    work: () => Promise<T>,
  ): Promise<T> {
    const { retryPolicy = "upload", retrySignal, signal, isLongRunning, onRetry } = request;
    const options = { signal: retrySignal ?? signal, closed: this.closed, isLongRunning, onRetry };
    return retry(this.#limitsOf[retryPolicy], options, work);
  }

  /**
   * A URL with which any client may send a request, for at most `lifetime` seconds.
   *
   * @throws S3Error
   * @throws FixityError `invalid-option` for a lifetime that S3 does not accept
   */
  async presign(request: S3Request, lifetime: number): Promise<PresignedRequest> {
    const { operation, method, key, query = {}, headers = {} } = request;
    const endpoint = this.#publicEndpoint;
    const path = urlPath(endpoint, key);
    try {
      const { expiration } = await this.#credentials();
      const validity = presignValidity(lifetime, expiration);
      const signed = await this.#signer.presign({ method, host: endpoint.host, path, query, headers }, validity);
      return { url: `${endpoint.origin}${path}?${queryString(signed)}`, expires: validity.until };
    } catch (error) {
      throw error instanceof FixityError ? error : signingFailure(operation, error);
    }
  }

  /** Ends all requests, and all waits between attempts. */
  async destroy(): Promise<void> {
    this.#closing.abort();
    await this.#transport.destroy();
  }

  async #attempt<T>(request: S3Request, read: (response: S3Response) => T, trace: CallTrace): Promise<T> {
    const sentMd5 = this.#sendsMd5;
    const reader = this.#transport.send(await this.#wireRequest(request, trace));
    let response: S3Response;
    try {
      response = await reader.response;
    } catch (error) {
      throw lost(request, reader.status, error);
    }
    trace.status = response.status;
    if (isSuccess(response.status)) {
      rejectErrorDocument(request.operation, response);
      return read(response);
    }
    const failure = await this.#failure(request, response);
    if (sentMd5 || request.body === undefined || !demandsMd5(failure)) throw failure;
    this.#sendsMd5 = true;
    return this.#attempt(request, read, trace);
  }

  async #open(request: S3Request, trace: CallTrace): Promise<S3Download> {
    const wireRequest = await this.#wireRequest(request, trace);
    let response: S3Response;
    try {
      const download = await this.#transport.open(wireRequest);
      trace.status = download.status;
      if (isSuccess(download.status)) return download;
      response = { ...download, text: await readText(download.body, this.responseTimeoutMs) };
    } catch (error) {
      throw lost(request, trace.status, error);
    }
    throw await this.#failure(request, response);
  }

  async #wireRequest(request: S3Request, trace: CallTrace): Promise<WireRequest> {
    const { operation, method, key, query = {}, headers: given = {}, body, isLongRunning = false, signal } = request;
    const path = urlPath(this.endpoint, key);
    const payload = body?.digest ?? EMPTY_PAYLOAD_DIGEST;
    const isEmpty = body === undefined || body.length === 0;
    trace.attempts += 1;
    trace.status = null;
    try {
      const md5 = this.#sendsMd5 && body !== undefined ? { "content-md5": await contentMd5(body.chunks) } : {};
      const signable = { method, host: this.endpoint.host, path, query, headers: { ...given, ...md5 }, payload };
      const headers = await this.#signer.sign(signable);
      const search = queryString(query);
      return {
        method,
        path: search === "" ? path : `${path}?${search}`,
        headers,
        body: isEmpty ? null : body.chunks,
        length: isEmpty ? 0 : body.length,
        isLongRunning,
        signal,
      };
    } catch (error) {
      throw signingFailure(operation, error);
    }
  }

  async #failure({ operation }: S3Request, response: S3Response): Promise<S3Error> {
    return errorResponse(operation, response, redactor(await this.#credentials()));
  }

  /** Publishes the end of a call. Only a response of status 2xx without an error in it is `ok`. */
  async #traced<T>({ operation }: S3Request, work: (trace: CallTrace) => Promise<T>): Promise<T> {
    const trace: CallTrace = { attempts: 0, status: null };
    if (!storeRequestEnded.isObserved) return work(trace);
    const startedAt = performance.now();
    let outcome: StoreRequestEvent["outcome"] = "failed";
    try {
      const result = await work(trace);
      outcome = "ok";
      return result;
    } finally {
      storeRequestEnded.publish({ operation, outcome, ...trace, durationMs: performance.now() - startedAt });
    }
  }
}

/**
 * The path of an object, or of the bucket. Keys consist of characters that need no encoding
 * (layout.ts).
 */
export function urlPath({ bucketPath }: Endpoint, key: string | null): string {
  return key === null ? bucketPath || "/" : `${bucketPath}/${key}`;
}

/**
 * AWS responds with 400 InvalidRequest: "Content-MD5 OR x-amz-checksum- HTTP header is required for
 * Put Object requests with Object Lock parameters". Other servers word it differently.
 */
function demandsMd5({ status, code, message }: S3Error): boolean {
  if (status !== 400 && status !== 411) return false;
  return (
    code === "MissingContentMD5" || (code !== "BadDigest" && code !== "InvalidDigest" && /content-md5/i.test(message))
  );
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/**
 * A failure of the connection becomes an `S3Error`; the reason of an aborted signal is thrown as it
 * is.
 */
function lost({ operation, signal }: S3Request, status: number | null, error: unknown): unknown {
  return signal?.aborted === true ? signal.reason : lostResponse(operation, status, error);
}
