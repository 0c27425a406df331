import type { Dispatcher } from "undici";
import type { Log } from "./client-options.ts";

/** The header section of a response as undici reports it. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** A field by its lower-case name; the first of several. */
export function fieldOf(headers: Headers, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

/**
 * Request ids that are remembered. A duplicate follows the first response soon; this many ids take
 * some 400 KiB.
 */
const MAX_REMEMBERED_IDS = 4_096;

/** Different ids after which the server is trusted to give each response an id of its own. */
const MIN_IDS_TO_TRUST = 3;

/**
 * Different ids that come a second time in a row, without a new one between them, after which the
 * server must have restarted its numbering: some (rclone) number their responses from their start
 * on.
 */
const MAX_DUPLICATES_IN_A_ROW = 16;

/**
 * Responses with one and the same id, or without any, after which the log states that duplicates
 * cannot be detected.
 */
const USELESS_IDS_TO_LOG = 8;

/**
 * Detects responses that arrive twice. A broken proxy may send an old response in reply to the next
 * request on a connection, and nothing in HTTP/1.1 distinguishes it from the right one. S3 does:
 * each response has its own `x-amz-request-id` ("Common Response Headers" in the S3 API reference).
 * A request that receives a known id fails as one without a response, whether or not S3 carried it
 * out. Its connection is closed, because the right response may still follow on it.
 *
 * Ids are compared across connections, because one connection of a proxy serves several of ours. A
 * server that sends no id, or always the same one (S3Proxy), is never trusted to number its
 * responses, and all of its responses are accepted.
 */
export class DuplicateDetector {
  readonly #address: string;
  readonly #log: Log;
  readonly #seen = new Set<string>();
  /** Ids that came a second time since the last new one. */
  readonly #duplicates = new Set<string>();
  readonly #logged = new Set<"useless" | "duplicate">();
  #withoutId = 0;
  #constant = 0;

  constructor(address: string, log: Log) {
    this.#address = address;
    this.#log = log;
  }

  /**
   * Fails a download whose response is a duplicate before its content is read, so that its
   * connection is not reused.
   */
  readonly interceptor: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
      onResponseStart: (controller, status, headers, statusText) => {
        const duplicate = this.check(status, headers);
        if (duplicate === null) handler.onResponseStart?.(controller, status, headers, statusText);
        else controller.abort(duplicate);
      },
      onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    });

  /**
   * Notes the id of a response. Returns an error, with which to abort the request at once, if it is
   * a duplicate.
   */
  check(status: number, headers: Headers): Error | null {
    // An informational response may have the id of the final one.
    if (status < 200) return null;
    const id = fieldOf(headers, "x-amz-request-id")?.trim() ?? "";
    if (id === "") {
      this.#withoutId += 1;
      if (this.#seen.size === 0 && this.#withoutId === USELESS_IDS_TO_LOG) this.#logUseless("no x-amz-request-id");
      return null;
    }
    // x-amz-id-2 belongs to the id on AWS; where two servers number their responses alike, it may
    // distinguish them.
    const fullId = `${id} ${fieldOf(headers, "x-amz-id-2") ?? ""}`.slice(0, 256);
    if (!this.#seen.has(fullId)) {
      this.#remember(fullId);
      return null;
    }
    if (this.#seen.size < MIN_IDS_TO_TRUST) {
      this.#constant += 1;
      if (this.#constant === USELESS_IDS_TO_LOG) this.#logUseless("the same x-amz-request-id with every response");
      return null;
    }
    return this.#isRestart(fullId) ? null : this.#duplicate(fullId);
  }

  #isRestart(id: string): boolean {
    this.#duplicates.add(id);
    if (this.#duplicates.size <= MAX_DUPLICATES_IN_A_ROW) return false;
    this.#log(`the S3 server at ${this.#address} has restarted the numbering of its responses`);
    this.#seen.clear();
    this.#remember(id);
    return true;
  }

  #duplicate(fullId: string): Error {
    const [id = ""] = fullId.split(" ");
    const error = new Error(`the response with the x-amz-request-id ${id} came a second time`);
    this.#logOnce(
      "duplicate",
      `a response from S3 at ${this.#address} came a second time, in reply to another request, and was discarded; ` +
        "a proxy between fixity and S3 is broken",
      error,
    );
    return error;
  }

  #remember(id: string): void {
    this.#duplicates.clear();
    this.#seen.add(id);
    if (this.#seen.size <= MAX_REMEMBERED_IDS) return;
    const [oldest = ""] = this.#seen;
    this.#seen.delete(oldest);
  }

  #logUseless(what: string): void {
    this.#logOnce(
      "useless",
      `the S3 server at ${this.#address} sends ${what}, so a response that a broken proxy sends twice cannot be detected`,
    );
  }

  #logOnce(kind: "useless" | "duplicate", message: string, error?: Error): void {
    if (this.#logged.has(kind)) return;
    this.#logged.add(kind);
    this.#log(message, error);
  }
}
