import { randomBytes } from "node:crypto";
import type { FixityError } from "../core/errors.ts";

/**
 * One request and its answer, independent of any server's own types. The HTTP semantics are written over these few types,
 * once, and tested without sockets. An adapter (`http/adapters/`) turns a server's request into an {@link Exchange} and sends
 * the {@link Answer}.
 */
export interface Exchange {
  /** Identifies this exchange in logs, and in `X-Request-Id` of a failure. */
  readonly id: string;
  /** The method, upper case. */
  readonly method: string;
  /** Path and query as received, not decoded: `/uploads?filename=a%20b.png`. */
  readonly target: string;
  /** The IP address of the peer, a client or a proxy, if the server provides it. */
  readonly peerAddress?: string | undefined;
  /**
   * The requested host and its port, if any, as the client wrote it: `files.example.com:8080`. From the `Host` field, or from
   * a target in absolute form. `undefined` if an HTTP/1.0 request names none. Its value is arbitrary: links are never made
   * from it.
   */
  readonly authority?: string | undefined;
  /** The client's version of HTTP, if the server provides it: `1.0`, `1.1`. */
  readonly httpVersion?: string;
  /** The request's header fields. */
  readonly fields: Fields;
  /** Whether the request has content, possibly of length 0 (RFC 9112, section 6.3). */
  readonly hasContent: boolean;
  /** Whether other code, such as a body parser, has read some of the content: the rest must not be stored. */
  readonly isContentUsed: boolean;
  /** The request's content. */
  readonly body: RequestBody;
  /** The request's trailer fields; complete once `body` has ended. */
  readonly trailers: Fields;
  /** Aborted if the client disconnects before the answer has been sent. */
  readonly signal: AbortSignal;
  /**
   * Sends an interim response (RFC 9110, section 15.2), if the client's version of HTTP has them and the final response has
   * not begun. Absent if the server cannot send any.
   */
  readonly interim?: (status: number, fields: Readonly<Record<string, string>>) => void;
  /** Whether the client waits for `100 Continue`. The adapter sends it when `body` is first pulled. */
  readonly awaitsContinue: boolean;
}

/**
 * A request's content as it arrives, pulled chunk by chunk and iterated at most once. Leaving the loop early does not close
 * the connection: the adapter drains the rest. Fails with `upload-aborted` if the client disconnects before the end, and with
 * `upload-stalled` if the client is too slow.
 */
export interface RequestBody extends AsyncIterable<Uint8Array> {
  /** Makes the pending read, and all later ones, fail with `reason`. */
  interrupt(reason: FixityError): void;
}

/** Header or trailer fields by lower-case name. Repeated fields are joined by `, ` (RFC 9110, section 5.3). */
export interface Fields {
  get(name: string): string | undefined;
}

/** The response to a request. */
export interface Answer {
  readonly status: number;
  /** By name, as written on the wire. */
  readonly fields: Readonly<Record<string, string>>;
  /** Text, bytes, or a stream of exactly `Content-Length` bytes that the adapter iterates and closes. */
  readonly body?: string | Uint8Array | AnswerStream | undefined;
  /** For the log: the subject of the exchange and its outcome. Never sent. */
  readonly note?: AnswerNote;
}

/** The content of a streamed answer. Disposing of it releases its resources, iterated or not. */
export type AnswerStream = AsyncIterable<Uint8Array> & AsyncDisposable;

/** What a log line may contain besides method, target and status. */
export interface AnswerNote {
  /** `sha256:<hex>`. */
  readonly digest?: string;
  /** Bytes of the blob. */
  readonly size?: number;
  readonly existed?: boolean;
  /** The failure, with its cause. */
  readonly error?: Error;
}

/** The answer with additional fields. */
export function withFields(answer: Answer, fields: Readonly<Record<string, string>>): Answer {
  return { ...answer, fields: { ...answer.fields, ...fields } };
}

const processId = randomBytes(5).toString("hex");
let serial = 0;

/** A unique id for one exchange: random per process, then counted. It never depends on what a client sends. */
export function nextRequestId(): string {
  serial = (serial + 1) % Number.MAX_SAFE_INTEGER;
  return `${processId}-${serial.toString(36)}`;
}
