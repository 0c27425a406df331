import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import { closeGracefully, isClosing } from "../http/adapters/drain.ts";
import { isDraining, sendAnswer } from "../http/adapters/node-answer.ts";
import { NodeBody } from "../http/adapters/node-exchange.ts";
import { nextRequestId } from "../http/exchange.ts";
import { hostIn } from "../http/fields/host.ts";
import { problemAnswer } from "../http/problem.ts";

/**
 * Answers requests that Node cannot parse, that do not arrive in time, or that do not name their host, with problems like
 * all others. Then the connection ends: gracefully, so that the client can read the answer, and soon, even if the client
 * never closes its side.
 */
export class ClientErrors {
  readonly #log: Logger;
  /** The responses of each connection that may not have been sent in full, in their order. */
  readonly #answers = new WeakMap<Socket, ServerResponse[]>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Registers every request that Node could parse. */
  expect(socket: Socket, response: ServerResponse): void {
    const answers = this.#answers.get(socket);
    if (answers === undefined) {
      this.#answers.set(socket, [response]);
      return;
    }
    while (answers[0]?.writableFinished === true) answers.shift();
    answers.push(response);
  }

  /**
   * Whether a request has the one well-formed `Host` that it must have (RFC 9112, section 3.2), or none in HTTP/1.0; if not,
   * it is refused here. The host of an absolute target has replaced that of the field.
   */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const message = hostMistake(request);
    if (message === null) return true;
    const id = nextRequestId();
    const failure = new FixityError("invalid-request", message);
    const answer = problemAnswer(failure);
    const sending = {
      request,
      response,
      body: new NodeBody(request),
      awaitsContinue: false,
      idleTimeoutMs: 0,
      close: true,
    };
    // an answer without a stream does not fail
    void sendAnswer(sending, { ...answer, fields: { ...answer.fields, "X-Request-Id": id } });
    this.#log.info({ id, status: answer.status, code: failure.code }, "a request could not be read");
    return false;
  }

  /** Ends a connection on which no further request can be found, with an answer if none is being sent. */
  answer(error: NodeJS.ErrnoException, socket: Socket): void {
    // the parser reports every further chunk
    if (isClosing(socket)) return;
    const current = this.#responses(socket);
    if (current.some(isDraining)) return closeGracefully(socket, { hasContent: true });
    // in the middle of an answer, a second one would be taken for a part of the file that is being sent
    if (error.code === "ECONNRESET" || !socket.writable || current.some(({ headersSent }) => headersSent)) {
      socket.destroy();
      return;
    }
    const id = nextRequestId();
    const hasContent = current.length > 0;
    const isCutOff = error.code === "HPE_INVALID_EOF_STATE" && hasContent;
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
    const text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join("")}\r\n${content}`;
    closeGracefully(socket, { text, hasContent });
    // a request that was begun has a line of its own
    const level = isCutOff ? "debug" : "info";
    this.#log[level]({ id, status, code: failure.code, cause: error.code }, "a request could not be read");
  }

  /** The responses that have not been sent in full. */
  #responses(socket: Socket): readonly ServerResponse[] {
    return (this.#answers.get(socket) ?? []).filter((response) => !response.writableFinished);
  }
}

function hostMistake({ rawHeaders, headers, httpVersion }: IncomingMessage): string | null {
  const count = hostFields(rawHeaders);
  if (count > 1 || (count === 0 && httpVersion !== "1.0")) return "The request must have one Host field.";
  if (headers.host === undefined || hostIn(headers.host) !== null) return null;
  return "The Host field, or the host in the request target, is malformed: it must be a host and perhaps a port.";
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
