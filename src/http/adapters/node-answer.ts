import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Answer, AnswerStream } from "../exchange.ts";
import { Drain, drainLimits, keepsConnection } from "./drain.ts";
import type { NodeBody } from "./node-exchange.ts";
import { Outlet } from "./outlet.ts";

// Node takes the reason phrase of an interim response from its table, and from nowhere else. The table lacks this status,
// so the line would say "104 unknown" (draft-ietf-httpbis-resumable-upload, section "HTTP Status Code").
STATUS_CODES[104] ??= "Upload Resumption Supported";

/** Reason phrases that Node does not know, or has from an older RFC (RFC 9110, sections 15.5.14 and 15.5.21; tus, "Checksum"). */
const REASONS: Readonly<Record<number, string>> = {
  413: "Content Too Large",
  422: "Unprocessable Content",
  460: "Checksum Mismatch",
};

/** The reason phrase of a status, or "" for one that has none. */
export function reasonOf(status: number): string {
  return REASONS[status] ?? STATUS_CODES[status] ?? "";
}

/** How the sending of an answer ended. */
export interface Sent {
  /** Bytes of content handed to the socket. */
  readonly bytes: number;
  /** The client got less than the whole answer. */
  readonly aborted: boolean;
}

/** What an answer replies to. */
export interface Sending {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: NodeBody;
  /** The client has asked for a `100 Continue`, and this adapter has not sent it. */
  readonly awaitsContinue: boolean;
  /** Milliseconds for which the client may accept no byte of a streamed answer. */
  readonly idleTimeout: number;
  /** The connection ends after the answer in any case. @default false */
  readonly close?: boolean;
}

/** Responses that are whole on their socket, and not ended because the request's content is still arriving. */
const draining = new WeakSet<ServerResponse>();

export function isDraining(response: ServerResponse): boolean {
  return draining.has(response);
}

/**
 * Sends an answer. Resolves when the whole of it has been handed to the socket; what the client is still sending is
 * drained beside it and after it, see {@link Drain}.
 *
 * @throws whatever a streamed answer fails with, after the connection has been destroyed
 */
export async function sendAnswer(sending: Sending, answer: Answer): Promise<Sent> {
  const { request, response, body, awaitsContinue, idleTimeout, close = false } = sending;
  const content = answer.body;
  const isStream = typeof content === "object" && !(content instanceof Uint8Array);
  if (response.destroyed) {
    if (isStream) await content[Symbol.asyncDispose]();
    return { bytes: 0, aborted: true };
  }
  const keeps = !close && keepsConnection({ status: answer.status, rest: body.missing, awaitsContinue });
  // HTTP/2 ends streams, not connections (RFC 9113, section 8.2.2)
  writeHead(response, answer, !keeps && request.httpVersionMajor < 2);
  const drain = body.isExhausted ? null : new Drain(body.rest(), drainLimits(keeps));
  // in the middle of a stream the client must see that it is cut
  void drain?.ended.then((isComplete) => isComplete || isDraining(response) || response.destroy());
  if (isStream) {
    const sent = await sendStream(response, content, idleTimeout);
    if (!sent.aborted) endAfter(drain, sending);
    return sent;
  }
  if (drain === null) {
    response.end(content);
  } else {
    // written before the response ends, so that the client can read it while it sends
    if (content === undefined) response.flushHeaders();
    else response.write(content);
    endAfter(drain, sending);
  }
  return { bytes: content === undefined ? 0 : Buffer.byteLength(content), aborted: false };
}

/** Ends a response whose whole answer has been handed to the socket, when the drain beside it has ended. */
function endAfter(drain: Drain | null, { request, response }: Sending): void {
  if (drain === null) return void response.end();
  draining.add(response);
  void drain.answered().then((isComplete) => {
    if (!response.destroyed) response.end(() => isComplete || request.destroy());
  });
}

/** Writes the status line and the header section; with `close`, the connection ends after the answer. */
function writeHead(response: ServerResponse, { status, fields, body }: Answer, close: boolean): void {
  // one flat list: setting header by header costs more than the rest of a small answer
  const lines: string[] = [];
  for (const name of Object.keys(fields)) lines.push(name, fields[name] ?? "");
  if (typeof body === "string" || body instanceof Uint8Array) {
    lines.push("Content-Length", String(Buffer.byteLength(body)));
  } else if (body === undefined && status !== 204 && status !== 304 && fields["Content-Length"] === undefined) {
    lines.push("Content-Length", "0");
  }
  if (close) lines.push("Connection", "close");
  response.writeHead(status, reasonOf(status), lines);
}

/**
 * Streams an answer's content at the pace of the client, and leaves the response to be ended. If the stream fails, or the
 * client accepts no byte for `idleTimeout` milliseconds while a file or a connection to a bucket is held open for it, the
 * connection is destroyed, so that a part is never mistaken for the whole.
 *
 * @throws whatever the stream fails with, after the connection has been destroyed
 */
async function sendStream(response: ServerResponse, stream: AnswerStream, idleTimeout: number): Promise<Sent> {
  let bytes = 0;
  await using _ = stream;
  using outlet = new Outlet(response, idleTimeout);
  try {
    for await (const chunk of stream) {
      if (response.destroyed) return { bytes, aborted: true };
      bytes += chunk.length;
      await outlet.write(chunk);
    }
  } catch (error) {
    const aborted = response.destroyed;
    response.destroy();
    if (aborted) return { bytes, aborted };
    throw error;
  }
  return { bytes, aborted: response.destroyed };
}
