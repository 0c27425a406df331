/**
 * The client. The life of an upload:
 *
 * 1. `client.start()` creates an `UploadHandle` (upload.ts). It waits for a permit of the client's
 *    semaphore, and opens the source (source.ts): content that can be read from anywhere, or a
 *    stream that can be read once. If there is a `prepare` option, content is what it returns
 *    (prepare.ts).
 * 2. A file of up to 1 MiB is hashed and sent in one `POST`. Anything larger becomes a
 *    `ResumableUpload` (resumable-upload.ts): one request creates it and others append to it, while
 *    the file is hashed beside them (upload-digest.ts). `AppendSize` decides how much one request
 *    carries.
 * 3. As soon as the digest is known, the client asks the server whether it has the content. If it
 *    has, the client creates a second upload with the digest, which is complete at once, and sends
 *    nothing more. Otherwise the last append declares the digest, and the server compares it.
 * 4. The `Retrier` repeats each step until it succeeds, through broken connections and busy servers.
 *    Pause, resume and cancel act on the `UploadControl`, whose signal ends the current request.
 *    After every failure the client asks the server for the offset.
 * 5. The response to the last request is the receipt (responses.ts). It becomes the `UploadResult`.
 *
 * Two things outlive a page or process: a `ResumeEntry` in the storage, written when the upload is
 * created and removed when it has succeeded or was cancelled, and the upload resource at the
 * server, which expires by itself. A crash leaves both, and the next upload of the same file
 * resumes from there. The digest of the whole file proves that both runs sent the same file.
 *
 * All requests pass through `Service` (service.ts), which adds the `headers`, follows redirects and
 * turns unsuccessful responses into errors. Below it, a `Platform` (platform.ts) sends requests,
 * hashes and stores entries: `browser/` and `node/` implement it. `download.ts` reads and verifies
 * stored files.
 */
import { Semaphore } from "../base/semaphore.ts";
import { download, stat } from "./download.ts";
import { FixityClientError } from "./errors.ts";
import type { Platform } from "./platform.ts";
import type { RetryPolicy } from "./retrier.ts";
import { Endpoint, Service } from "./service.ts";
import type { Client, ClientOptions, RetryOptions, Upload, UploadOptions, UploadSource } from "./types.ts";
import { UploadHandle } from "./upload.ts";
import { TransferRates } from "./upload-digest.ts";

/** Uploads that run at the same time by default. */
const DEFAULT_CONCURRENCY = 3;
/** The same for small files, whose uploads mostly wait for the server to flush them. */
const DEFAULT_SMALL_CONCURRENCY = 15;

/** Creates a client on a platform. @throws FixityClientError `invalid-option` */
export function createClientOn(platform: Platform, options: ClientOptions): Client {
  const endpoint = new Endpoint(String(options.endpoint), platform.base);
  const retryPolicy = retryPolicyOf(options.retry ?? {});
  const { headers = {}, concurrency, storage = platform.storage, prepare = null } = options;
  if (concurrency !== undefined && (!Number.isInteger(concurrency) || concurrency < 1)) {
    throw invalid("concurrency", "a whole number, 1 or more", concurrency);
  }
  const service = new Service({ endpoint, headers, platform, stallTimeout: retryPolicy.stallTimeout });
  const shared = {
    platform,
    service,
    storage,
    retryPolicy,
    prepare,
    semaphore: new Semaphore(concurrency ?? DEFAULT_SMALL_CONCURRENCY),
    permitsPerUpload: concurrency === undefined ? DEFAULT_SMALL_CONCURRENCY / DEFAULT_CONCURRENCY : 1,
    rates: new TransferRates(),
    keysInUse: new Set<string>(),
  };
  const closed = new AbortController();
  const running = new Set<UploadHandle>();

  const start = (source: UploadSource, uploadOptions: UploadOptions = {}): Upload => {
    const upload = new UploadHandle(shared, source, uploadOptions);
    running.add(upload);
    const forget = (): void => void running.delete(upload);
    upload.done.then(forget, forget);
    return upload;
  };
  const upload: Client["upload"] = (source, uploadOptions) => start(source, uploadOptions).done;
  const untilClosed = (signal: AbortSignal | undefined): AbortSignal =>
    signal === undefined ? closed.signal : AbortSignal.any([closed.signal, signal]);

  return {
    start,
    upload,
    uploadFile: async (file, filename) => (await upload(file, { filename })).url,
    stat: (link, { signal } = {}) => stat(service, link, untilClosed(signal)),
    download: (link, { signal, ...options } = {}) =>
      download(shared, link, { ...options, signal: untilClosed(signal) }),
    close: () => {
      const reason = new FixityClientError("aborted", "The client was closed.");
      for (const upload of running) upload.stop(reason);
      closed.abort(reason);
      platform.hashing?.close();
    },
  };
}

function retryPolicyOf({
  attempts = 8,
  minDelay = 500,
  maxDelay = 30_000,
  stallTimeout = 60_000,
}: RetryOptions): RetryPolicy {
  const policy = { attempts, minDelay, maxDelay, stallTimeout };
  for (const [name, value] of Object.entries(policy)) {
    if (!(value >= 0)) throw invalid(`retry.${name}`, "a number, 0 or more", value);
  }
  return policy;
}

function invalid(option: string, expected: string, value: unknown): FixityClientError {
  return new FixityClientError("invalid-option", `${option} must be ${expected}, not ${JSON.stringify(value)}.`);
}
