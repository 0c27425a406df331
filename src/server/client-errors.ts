import type { Socket } from "node:net";
import { FixityError } from "../core/errors.ts";
import { problemAnswer } from "../http/problem.ts";

/**
 * Answers a request that Node could not read, on the bare socket: as a problem like every other, and then the connection
 * ends, since nobody knows where the next request would begin.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, fields, body } = problemAnswer(toFixityError(error));
  const content = Buffer.from(typeof body === "string" ? body : "");
  const lines = Object.entries({ ...fields, "Content-Length": content.length, Connection: "close" });
  socket.write(`HTTP/1.1 ${status} ${status === 431 ? "Request Header Fields Too Large" : "Bad Request"}\r\n`);
  for (const [name, value] of lines) socket.write(`${name}: ${value}\r\n`);
  socket.end(Buffer.concat([Buffer.from("\r\n"), content]));
}

function toFixityError(cause: NodeJS.ErrnoException): FixityError {
  if (cause.code === "HPE_HEADER_OVERFLOW") {
    return new FixityError("headers-too-large", "The header section is larger than 16 KiB.", { cause });
  }
  if (cause.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new FixityError("upload-stalled", "The request's header section did not come in time.", { cause });
  }
  return new FixityError("invalid-request", "The request is not HTTP as it should be.", { cause });
}
