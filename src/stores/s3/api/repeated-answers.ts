import type { Dispatcher } from "undici";
import { fieldOf, type WireFields } from "./answer-reader.ts";
import type { Log } from "../options.ts";

/** Ids that are remembered. A repeated answer follows the first one soon; this many are some 400 KiB. */
const MAX_REMEMBERED_IDS = 4_096;

/** Different ids after which the server is trusted to give each answer an id of its own. */
const TRUSTED_IDS = 3;

/**
 * Different ids that come a second time in a row, without a new one between them, after which the server has begun to count
 * anew: some (rclone) number their answers from their start on.
 */
const MAX_REPEATED_IDS = 16;

/** Answers with one and the same id, or without any, after which the log says that they cannot be told apart. */
const UNUSABLE_IDS = 8;

/**
 * Notices answers that come a second time. A broken proxy may send an old answer in reply to the next request on a
 * connection, and nothing in HTTP/1.1 tells it from the right one. S3 does: each answer has its own `x-amz-request-id`
 * ("Common response headers" in the S3 API reference). A request that receives an id for the second time has failed without
 * an answer, whether it was carried out or not, and its connection is closed, as the right answer may still follow on it.
 *
 * Ids are compared across connections, because a proxy's own connections serve several of ours. Servers that send no id, or
 * the same one always (S3Proxy), are never trusted, and their answers are believed.
 */
export class RepeatedAnswers {
  readonly #log: Log;
  readonly #place: string;
  readonly #seen = new Set<string>();
  /** Ids that came a second time since the last new one. */
  readonly #repeated = new Set<string>();
  #withoutId = 0;
  #constant = 0;
  #isUnusableLogged = false;
  #isRepeatLogged = false;

  /** @param place of the server, for the log */
  constructor(place: string, log: Log) {
    this.#place = place;
    this.#log = log;
  }

  /** Sends the requests of a pool such that a repeated answer fails them. */
  readonly interceptor: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
    dispatch(options, new GuardedHandler(handler, this));

  /** Notes the id of a final answer; why the answer cannot be believed, or `null`. */
  reasonToDoubt(headers: WireFields): Error | null {
    const id = idOf(headers);
    if (id === null) {
      this.#withoutId += 1;
      if (this.#seen.size === 0 && this.#withoutId === UNUSABLE_IDS) this.#logUnusable("sends no x-amz-request-id");
      return null;
    }
    if (!this.#seen.has(id)) {
      this.#remember(id);
      return null;
    }
    if (this.#seen.size < TRUSTED_IDS) {
      this.#constant += 1;
      if (this.#constant === UNUSABLE_IDS) this.#logUnusable("sends the same x-amz-request-id with every answer");
      return null;
    }
    this.#repeated.add(id);
    if (this.#repeated.size > MAX_REPEATED_IDS) {
      this.#log(`the S3 server at ${this.#place} has begun to use its request ids again`);
      this.#seen.clear();
      this.#remember(id);
      return null;
    }
    const [shown = ""] = id.split(" ");
    const error = new Error(`the answer with the x-amz-request-id ${shown} came a second time`);
    if (!this.#isRepeatLogged) {
      this.#isRepeatLogged = true;
      this.#log(
        `an answer from S3 at ${this.#place} came a second time, in reply to another request, and was not believed; ` +
          "a proxy on the way there does not work properly",
        error,
      );
    }
    return error;
  }

  #remember(id: string): void {
    this.#repeated.clear();
    this.#seen.add(id);
    if (this.#seen.size <= MAX_REMEMBERED_IDS) return;
    const [oldest = ""] = this.#seen;
    this.#seen.delete(oldest);
  }

  #logUnusable(what: string): void {
    if (this.#isUnusableLogged) return;
    this.#isUnusableLogged = true;
    this.#log(
      `the S3 server at ${this.#place} ${what}, so that an answer which a broken proxy sends twice cannot be noticed`,
    );
  }
}

/** `x-amz-id-2` belongs to the id on AWS; where two servers number their answers alike, it may tell them apart. */
function idOf(headers: WireFields): string | null {
  const id = fieldOf({ headers }, "x-amz-request-id")?.trim() ?? "";
  return id === "" ? null : `${id} ${fieldOf({ headers }, "x-amz-id-2") ?? ""}`.slice(0, 256);
}

/** Passes everything on to a handler, but ends the request and its connection on a repeated answer. */
class GuardedHandler implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #answers: RepeatedAnswers;

  constructor(handler: Dispatcher.DispatchHandler, answers: RepeatedAnswers) {
    this.#handler = handler;
    this.#answers = answers;
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: WireFields,
    statusText?: string,
  ): void {
    // Informational answers may have the id of the final one.
    const doubt = status < 200 ? null : this.#answers.reasonToDoubt(headers);
    // At once, before the rest of the answer is read: otherwise the connection would be free for the next request.
    if (doubt !== null) controller.abort(doubt);
    else this.#handler.onResponseStart?.(controller, status, { ...headers }, statusText);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Record<string, string | string[]>): void {
    this.#handler.onResponseEnd?.(controller, trailers);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#handler.onResponseError?.(controller, error);
  }
}
