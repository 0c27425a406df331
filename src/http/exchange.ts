/**
 * What HTTP means to fixity is written over these few types, once, and tested without sockets. An adapter
 * (`http/adapters/`) turns a server's own request into an {@link Exchange} and sends the {@link Answer}.
 */
export interface Exchange {
  /** Names this exchange in logs, and in `X-Request-Id` where something went wrong. */
  readonly id: string;
  /** The method, upper-case. */
  readonly method: string;
  /** Path and query as they came in, not decoded: `/uploads?filename=a%20b.png`. */
  readonly target: string;
  /** The IP address at the other end of the connection, a client's or a proxy's, where the server tells it. */
  readonly peerAddress?: string | undefined;
  /**
   * The host, and the port if there is one, that the request is for, as the client wrote it: `files.example.com:8080`. From
   * the `Host` field, or from the target where that is absolute. `undefined` where HTTP/1.0 names none. It may be anything:
   * no link is made from it.
   */
  readonly authority?: string | undefined;
  /** The client's version of HTTP, where the server tells it: `1.0`, `1.1`. */
  readonly httpVersion?: string;
  /** The request's header fields. */
  readonly fields: Fields;
  /** The request has content, of no bytes perhaps (RFC 9112, section 6.3). */
  readonly hasContent: boolean;
  /** Somebody else, such as a body parser, has read the content or a part of it: it cannot be stored any more. */
  readonly isContentUsed: boolean;
  /**
   * The request's content as it comes in, each chunk only when it is asked for. To be iterated once at most. Leaving it
   * early does not close the connection; the adapter sees to what is still coming in. Fails with `upload-aborted` where
   * the client goes away before its end.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** The request's trailer fields; complete when `body` has ended. */
  readonly trailers: Fields;
  /** Aborted when the client is gone before the answer has been sent. */
  readonly signal: AbortSignal;
  /**
   * Sends an interim answer (RFC 9110, section 15.2), where the client's version of HTTP has them and the final answer has
   * not begun. Adapters whose server cannot send any leave it out.
   */
  readonly interim?: (status: number, fields: Readonly<Record<string, string>>) => void;
  /** Sends `100 Continue` where the client waits for it. Adapters do so by themselves when `body` is first pulled. */
  readonly awaitsContinue: boolean;
}

/** Header or trailer fields by lower-case name; several of one name are joined by `, ` (RFC 9110, section 5.3). */
export interface Fields {
  get(name: string): string | undefined;
}

/** What is sent back. */
export interface Answer {
  readonly status: number;
  /** By the name as it is written on the wire. */
  readonly fields: Readonly<Record<string, string>>;
  /** Text, bytes, or a stream of exactly `Content-Length` bytes that the adapter iterates and closes. */
  readonly body?: string | Uint8Array | AnswerStream | undefined;
  /** For the log: what the exchange was about and how it went. Never sent. */
  readonly note?: AnswerNote;
}

/** A streamed answer. Disposing of it frees what it holds, whether it was iterated or not. */
export type AnswerStream = AsyncIterable<Uint8Array> & AsyncDisposable;

/** What a log line may say about an exchange besides method, target and status. */
export interface AnswerNote {
  /** `sha256:<hex>`. */
  readonly digest?: string;
  /** Bytes of the blob. */
  readonly size?: number;
  readonly existed?: boolean;
  /** What failed, with its cause. */
  readonly error?: Error;
}
