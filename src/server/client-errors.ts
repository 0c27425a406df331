import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import { nextRequestId } from "../http/adapters/request-id.ts";
import { problemAnswer } from "../http/problem.ts";

/**
 * Answers requests that Node cannot read, or that do not say to whom they are, as problems like every other; then the connection
 * ends.
 */
export class ClientErrors {
  readonly #log: Logger;
  /** The answers of each connection that may not have been sent in full, in their order. */
  readonly #answers = new WeakMap<Socket, ServerResponse[]>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** To be told of every request that Node could read. */
  expect(socket: Socket, response: ServerResponse): void {
    const answers = this.#answers.get(socket);
    if (answers === undefined) {
      this.#answers.set(socket, [response]);
      return;
    }
    while (answers[0]?.writableFinished === true) answers.shift();
    answers.push(response);
  }

  /** Whether a request has the one `Host` that it must have (RFC 9112, section 3.2); if not, it is refused here. */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.httpVersion === "1.0" || hostFields(request.rawHeaders) === 1) return true;
    const id = nextRequestId();
    const failure = new FixityError("invalid-request", "The request must have one Host field.");
    const { status, fields, body } = problemAnswer(failure);
    response.writeHead(status, { ...fields, "X-Request-Id": id, Connection: "close" }).end(body);
    this.#log.info({ id, status, code: failure.code }, "a request could not be read");
    return false;
  }

  /** Nobody knows where the next request would begin, so the connection ends, with an answer where there is room for one. */
  answer(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === "ECONNRESET" || !socket.writable || this.#isAnswering(socket)) {
      socket.destroy();
      return;
    }
    const id = nextRequestId();
    const isCutOff = error.code === "HPE_INVALID_EOF_STATE" && this.#isReading(socket);
    const failure = isCutOff ? cutOff(error) : toFixityError(error);
    const { status, fields, body } = problemAnswer(failure);
    const content = typeof body === "string" ? body : "";
    const lines = {
      ...fields,
      "X-Request-Id": id,
      "Content-Length": Buffer.byteLength(content),
      Connection: "close",
    };
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join("")}\r\n${content}`);
    // a request that was begun has a line of its own
    const level = isCutOff ? "debug" : "info";
    this.#log[level]({ id, status, code: failure.code, cause: error.code }, "a request could not be read");
  }

  /** A request is being read, or worked on. */
  #isReading(socket: Socket): boolean {
    return this.#answers.get(socket)?.some((response) => !response.headersSent) ?? false;
  }

  /** In the middle of an answer a second one would be taken for a part of the file that is being sent. */
  #isAnswering(socket: Socket): boolean {
    const answers = this.#answers.get(socket) ?? [];
    return answers.some((response) => response.headersSent && !response.writableFinished);
  }
}

function hostFields(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count;
}

function cutOff(cause: Error): FixityError {
  return new FixityError("upload-aborted", "The connection ended before the last byte.", { cause });
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
