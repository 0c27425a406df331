import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type {
  AppendEvent,
  CleanupEvent,
  DownloadEvent,
  EventHandledEvent,
  RequestEvent,
  StoreRequestEvent,
  UploadEvent,
  VerificationEvent,
} from "../../core/diagnostics.ts";
import type { Fixity } from "../../core/fixity.ts";
import {
  type CounterSeries,
  counterFamily,
  type Family,
  type HistogramSeries,
  histogramFamily,
  memoized,
} from "./series.ts";

/*
 * What one process measures. `metrics-listener.ts` serves it; docs/metrics.md lists every metric.
 *
 * Counters and histograms follow the channels of core/diagnostics.ts. What is in hand at the moment
 * (memory, open uploads) is read when it is scraped. Values of labels are words of this code and
 * codes of its error catalogue, never texts of requests, so the number of series is bounded.
 *
 * Processes that serve one address are aggregated by their sums, unless a metric says otherwise.
 */

/** From 4 KiB to 5 GiB. */
const SIZE_BUCKETS = [
  2 ** 12,
  2 ** 14,
  2 ** 16,
  2 ** 18,
  2 ** 20,
  2 ** 22,
  2 ** 24,
  2 ** 26,
  2 ** 28,
  2 ** 30,
  5 * 2 ** 30,
];
/** From 1 ms to 10 minutes. */
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
/** Hashing 4 KiB takes 3 µs. */
const HASH_BUCKETS = [0.000_01, 0.0001, ...SECONDS_BUCKETS];

/** The metrics of one process, and the subscriptions that fill them until it is disposed of. */
export class Metrics implements Disposable {
  readonly registry: Registry = new Registry();
  readonly #subscriptions = new DisposableStack();

  /** @param version of this package */
  constructor(fixity: Fixity, version: string) {
    collectDefaultMetrics({ register: this.registry });
    this.#followRequests();
    this.#followUploads();
    this.#followStore();
    this.#followMaintenance();
    this.#followEvents();
    this.#readUsage(fixity);
    const info = this.#gauge("fixity_build_info", "The version of fixity and its kind of store; always 1.", {
      labels: ["version", "store"],
      aggregator: "first",
    });
    info.set({ version, store: fixity.store.kind }, 1);
  }

  [Symbol.dispose](): void {
    this.#subscriptions.dispose();
    this.registry.clear();
  }

  #followRequests(): void {
    const labels = ["route", "protocol", "action", "status"];
    const requests = this.#counter("fixity_http_requests_total", "Requests to the service that have ended.", labels);
    const errors = this.#counter("fixity_http_errors_total", "Failures that were reported to clients.", ["code"]);
    const received = this.#counter("fixity_http_received_bytes_total", "Bytes of content from clients.", ["protocol"]);
    const sent = this.#counter("fixity_http_sent_bytes_total", "Bytes of content to clients.", ["protocol"]);
    const seriesOf = memoized((route: string, protocol: string, action: string, status: string) => ({
      requests: requests.of(route, protocol, action, status),
      received: received.of(protocol),
      sent: sent.of(protocol),
    }));
    this.#on("fixity:request", ({ route, protocol, action, status, code, bytesReceived, bytesSent }: RequestEvent) => {
      const series = seriesOf(route, protocol, action, statusClass(status));
      series.requests.add();
      series.received.add(bytesReceived);
      series.sent.add(bytesSent);
      if (code !== null) errors.of(code).add();
    });
    const downloads = this.#counter("fixity_downloads_total", "Downloads that have ended.", ["outcome", "status"]);
    const size = this.#histogram(
      "fixity_download_size_bytes",
      "Bytes that a complete download sent.",
      SIZE_BUCKETS,
    ).of();
    const time = this.#histogram("fixity_download_seconds", "Time of a complete download.", SECONDS_BUCKETS).of();
    this.#on("fixity:download", (event: DownloadEvent) => {
      downloads.of(event.outcome, statusClass(event.status)).add();
      if (event.outcome !== "complete") return;
      size.observe(event.size);
      time.observe(event.durationMs / 1000);
    });
  }

  #followUploads(): void {
    const labels = ["protocol"];
    const uploads = this.#counter("fixity_uploads_total", "Uploads that have ended.", ["route", "protocol", "outcome"]);
    const failures = this.#counter("fixity_upload_failures_total", "Uploads that have failed.", ["code"]);
    const sizes = this.#histogram("fixity_upload_size_bytes", "Size of a file that arrived.", SIZE_BUCKETS, labels);
    const receiving = this.#histogram(
      "fixity_upload_receive_seconds",
      "Time in which the bytes of an upload arrived; of a resumable one, those of its last request.",
      SECONDS_BUCKETS,
      labels,
    );
    const hashing = this.#histogram("fixity_upload_hash_seconds", "The part spent on hashing.", HASH_BUCKETS, labels);
    const committing = this.#histogram(
      "fixity_upload_commit_seconds",
      "Time from the last byte of an upload until it was durable and readable.",
      SECONDS_BUCKETS,
      labels,
    );
    const seriesOf = memoized((protocol: string) => ({
      size: sizes.of(protocol),
      commit: committing.of(protocol),
      receive: receiving.of(protocol),
      hash: hashing.of(protocol),
    }));
    this.#on("fixity:upload", ({ route, protocol, outcome, code, size, receiveMs, hashMs, commitMs }: UploadEvent) => {
      uploads.of(route, protocol, outcome).add();
      if (code !== null) failures.of(code).add();
      if (commitMs === null || outcome === "failed") return;
      const series = seriesOf(protocol);
      series.size.observe(size);
      series.commit.observe(commitMs / 1000);
      if (receiveMs !== null) series.receive.observe(receiveMs / 1000);
      if (hashMs !== null) series.hash.observe(hashMs / 1000);
    });
    const appends = this.#counter("fixity_upload_appends_total", "Appends to resumable uploads that have ended.", [
      "protocol",
      "outcome",
    ]);
    const resumed = this.#counter("fixity_uploads_resumed_total", "Appends that began above offset 0.", labels);
    this.#on("fixity:append", ({ protocol, outcome, offset }: AppendEvent) => {
      appends.of(protocol, outcome).add();
      if (offset > 0) resumed.of(protocol).add();
    });
  }

  #followStore(): void {
    const requests = this.#counter("fixity_store_requests_total", "Calls to the S3 server that have ended.", [
      "operation",
      "outcome",
      "status",
    ]);
    const labels = ["operation"];
    const retries = this.#counter("fixity_store_request_retries_total", "Repeated attempts of such calls.", labels);
    const times = this.#histogram(
      "fixity_store_request_seconds",
      "Time of such a call, with its retries.",
      SECONDS_BUCKETS,
      labels,
    );
    this.#on("fixity:store-request", ({ operation, outcome, status, attempts, durationMs }: StoreRequestEvent) => {
      requests.of(operation, outcome, status === null ? "none" : statusClass(status)).add();
      if (attempts > 1) retries.of(operation).add(attempts - 1);
      times.of(operation).observe(durationMs / 1000);
    });
  }

  #followMaintenance(): void {
    const verifications = this.#counter(
      "fixity_verifications_total",
      "Comparisons of stored bytes with their digest, and files found damaged.",
      ["outcome"],
    );
    for (const outcome of ["intact", "different", "damaged"]) verifications.of(outcome);
    this.#on("fixity:verification", ({ outcome }: VerificationEvent) => verifications.of(outcome).add());

    const cleanups = this.#counter("fixity_cleanups_total", "Collections of leftovers that have ended.", ["outcome"]);
    for (const outcome of ["ok", "failed"]) cleanups.of(outcome);
    const removed = this.#counter("fixity_cleanup_removed_total", "Unfinished uploads that collections removed.").of();
    const freed = this.#counter("fixity_cleanup_freed_bytes_total", "Bytes that collections freed.").of();
    const time = this.#histogram("fixity_cleanup_seconds", "Time of a collection.", SECONDS_BUCKETS).of();
    const last = this.#gauge(
      "fixity_cleanup_last_success_timestamp_seconds",
      "When this server last completed a collection, in seconds since 1970; 0 for never.",
      { aggregator: "max" },
    );
    this.#on("fixity:cleanup", ({ outcome, staged, bytes, durationMs }: CleanupEvent) => {
      cleanups.of(outcome).add();
      removed.add(staged);
      freed.add(bytes);
      time.observe(durationMs / 1000);
      if (outcome === "ok") last.setToCurrentTime();
    });
  }

  #followEvents(): void {
    const handled = this.#counter("fixity_events_total", "Deliveries of events, and events that were given up.", [
      "outcome",
      "type",
    ]);
    const times = this.#histogram("fixity_event_delivery_seconds", "Time of a delivery.", SECONDS_BUCKETS, ["outcome"]);
    this.#on("fixity:event", ({ outcome, type, durationMs }: EventHandledEvent) => {
      handled.of(outcome, type).add();
      if (outcome !== "dead") times.of(outcome).observe(durationMs / 1000);
    });
  }

  /** What is read at each scrape. Metrics of what a store does not have are left out. */
  #readUsage(fixity: Fixity): void {
    const read = (name: string, help: string, value: () => number | undefined): void =>
      this.#read(name, { help, value });
    read("fixity_uploads_open", "Unfinished resumable uploads of this server.", () => fixity.usage().openUploads);
    read("fixity_events_backlog", "Events that wait for their delivery.", () => fixity.events?.backlog);
    this.#read("fixity_damaged_blobs", {
      help: "Damaged files that this server knows of.",
      value: () => fixity.usage().damagedBlobs,
      aggregator: "max",
    });
    const { buffers, cache } = fixity.usage();
    if (buffers !== undefined) {
      read("fixity_buffer_used_bytes", "Memory of running uploads to S3.", () => fixity.usage().buffers?.used);
      read("fixity_buffer_budget_bytes", "The limit of that memory.", () => fixity.usage().buffers?.budget);
      read("fixity_buffer_waiting", "Uploads that wait for memory.", () => fixity.usage().buffers?.waiting);
    }
    if (cache === undefined) return;
    read("fixity_cache_used_bytes", "Memory of the cache of small files.", () => fixity.usage().cache?.used);
    read("fixity_cache_budget_bytes", "The limit of that memory.", () => fixity.usage().cache?.budget);
    read("fixity_cache_entries", "Files in the cache.", () => fixity.usage().cache?.entries);
    const lookups = new Counter({
      name: "fixity_cache_lookups_total",
      help: "Reads of files that may be in the cache.",
      labelNames: ["result"],
      registers: [this.registry],
    });
    Object.assign(lookups, {
      collect: () => {
        const { hits = 0, misses = 0 } = fixity.usage().cache ?? {};
        lookups.reset();
        lookups.inc({ result: "hit" }, hits);
        lookups.inc({ result: "miss" }, misses);
      },
    });
  }

  #read(
    name: string,
    {
      help,
      value,
      aggregator,
    }: { readonly help: string; readonly value: () => number | undefined; readonly aggregator?: "max" },
  ): void {
    const gauge = this.#gauge(name, help, { ...(aggregator !== undefined && { aggregator }) });
    Object.assign(gauge, { collect: () => gauge.set(value() ?? 0) });
  }

  #counter(name: string, help: string, labels: readonly string[] = []): Family<CounterSeries> {
    return counterFamily(this.registry, { name, help, labels });
  }

  #gauge(
    name: string,
    help: string,
    {
      labels = [],
      aggregator = "sum",
    }: { readonly labels?: readonly string[]; readonly aggregator?: "first" | "max" | "sum" },
  ): Gauge {
    return new Gauge({ name, help, labelNames: [...labels], aggregator, registers: [this.registry] });
  }

  #histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labels: readonly string[] = [],
  ): Family<HistogramSeries> {
    return histogramFamily(this.registry, { name, help, labels, bounds });
  }

  #on(channel: string, listener: (event: never) => void): void {
    const onMessage = listener as (message: unknown) => void;
    subscribe(channel, onMessage);
    this.#subscriptions.defer(() => void unsubscribe(channel, onMessage));
  }
}

const STATUS_CLASSES = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"];

function statusClass(status: number): string {
  return STATUS_CLASSES[Math.floor(status / 100)] ?? "none";
}
