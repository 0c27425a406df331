import type { IncomingMessage, ServerResponse } from "node:http";

/** How long a connection stays open for a client that is still sending when its answer is there already. */
export interface LingerLimits {
  /** Bytes of content read and thrown away. */
  readonly bytes: number;
  /** Milliseconds in all. */
  readonly time: number;
  /** Milliseconds without a byte. */
  readonly idle: number;
}

export const LINGER: LingerLimits = { bytes: 256 * 1024 ** 2, time: 30_000, idle: 2_000 };

/**
 * Reads and drops what a client still sends after its answer went out early, so that it comes to read that answer: closing
 * a socket with unread bytes makes the kernel send a reset, and the reset throws the answer away on the client's side
 * (RFC 9112, section 9.6; nginx calls this `lingering_close`). Browsers read no answer before they have sent everything.
 *
 * @returns whether the request came to its end, so that the connection may be used again
 */
export function linger(request: IncomingMessage, response: ServerResponse, limits: LingerLimits): Promise<boolean> {
  return new Promise((resolve) => {
    let bytes = 0;
    let seen = 0;
    const finish = (complete: boolean): void => {
      clearTimeout(whole);
      clearInterval(idle);
      request.off("data", count);
      request.off("end", ended);
      response.off("close", gone);
      resolve(complete);
    };
    const count = (chunk: Uint8Array): void => {
      bytes += chunk.length;
      if (bytes > limits.bytes) finish(false);
    };
    const ended = (): void => finish(true);
    const gone = (): void => finish(false);
    const whole = setTimeout(gone, limits.time);
    const idle = setInterval(() => (bytes === seen ? finish(false) : (seen = bytes)), limits.idle);
    request.on("data", count);
    request.on("end", ended);
    request.on("error", gone);
    response.on("close", gone);
    request.resume();
  });
}
