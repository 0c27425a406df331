import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Answer, AnswerStream } from "../exchange.ts";
import { Outlet } from "./outlet.ts";

/** How the sending of an answer ended. */
export interface Sent {
  /** Bytes of content handed to the socket. */
  readonly bytes: number;
  /** The client got less than the whole answer. */
  readonly aborted: boolean;
}

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

/** Writes the status line and the header section; `close` where the connection has to end after the answer. */
export function writeHead(response: ServerResponse, { status, fields, body }: Answer, close: boolean): void {
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
 * Streams an answer's content at the pace of the client. A stream that fails, or gives less than was announced, ends the
 * connection without the regular end, so that nobody takes the part for the whole. So does a client that takes no byte for
 * `idleTimeout` milliseconds: it holds an open file, or a connection to a bucket.
 *
 * @throws whatever the stream throws, after the connection has been ended
 */
export async function sendStream(response: ServerResponse, stream: AnswerStream, idleTimeout: number): Promise<Sent> {
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
  const aborted = response.destroyed;
  response.end();
  return { bytes, aborted };
}
