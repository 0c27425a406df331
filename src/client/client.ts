import { Semaphore } from "../base/semaphore.ts";
import { download } from "./download.ts";
import { FixityClientError } from "./errors.ts";
import type { RetryPlan } from "./retrier.ts";
import type { Platform } from "./platform.ts";
import { Rates } from "./rates.ts";
import { Service } from "./service.ts";
import { stat } from "./stat.ts";
import type { Client, ClientOptions, RetryOptions, Upload, UploadOptions, UploadSource } from "./types.ts";
import { UploadHandle } from "./upload-handle.ts";

/** The client on a platform. @throws FixityClientError `invalid-option` */
export function createClientOn(platform: Platform, options: ClientOptions): Client {
  const endpoint = URL.parse(String(options.endpoint), platform.base);
  if (endpoint === null || !/^https?:$/.test(endpoint.protocol)) {
    throw new FixityClientError("invalid-option", "endpoint must be the http(s) URL of a service's uploads.");
  }
  const plan = retryPlan(options.retry ?? {});
  const { headers = {}, concurrency = 3 } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new FixityClientError("invalid-option", "concurrency must be a whole number, 1 or more.");
  }
  const { stallTimeout } = plan;
  const service = new Service({ endpoint, headers, platform, stallTimeout });
  const storage = options.storage === undefined ? platform.storage : options.storage;
  const parts = {
    platform,
    service,
    storage,
    slots: new Semaphore(concurrency),
    rates: new Rates(),
    plan,
    inUse: new Set<string>(),
  };
  const closing = new AbortController();
  const running = new Set<UploadHandle>();

  const start = (source: UploadSource, uploadOptions: UploadOptions = {}): Upload => {
    const upload = new UploadHandle(parts, source, uploadOptions);
    running.add(upload);
    const forget = (): void => void running.delete(upload);
    upload.done.then(forget, forget);
    return upload;
  };
  const upload: Client["upload"] = (source, uploadOptions) => start(source, uploadOptions).done;

  return {
    start,
    upload,
    uploadFile: async (file, filename) => (await upload(file, { filename })).url,
    stat: (link, { signal } = {}) => stat(service, link, joined(closing.signal, signal)),
    download: (link, { signal, have } = {}) =>
      download({ service, platform, plan }, link, { have, signal: joined(closing.signal, signal) }),
    close: () => {
      const reason = new FixityClientError("aborted", "The client was closed.");
      for (const upload of running) upload.stop(reason);
      closing.abort(reason);
      platform.hashing?.close();
    },
  };
}

function retryPlan({
  attempts = 8,
  minDelay = 500,
  maxDelay = 30_000,
  stallTimeout = 60_000,
}: RetryOptions): RetryPlan {
  const plan = { attempts, minDelay, maxDelay, stallTimeout };
  for (const [name, value] of Object.entries(plan)) {
    if (!(value >= 0)) throw new FixityClientError("invalid-option", `retry.${name} must be a number, 0 or more.`);
  }
  return plan;
}

function joined(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}
