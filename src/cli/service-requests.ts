import type { IncomingMessage } from "node:http";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { delay } from "../base/abort-race.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { asClientError, FixityClientError } from "../client/errors.ts";
import { errorIn, RESPONSE_MAX_BYTES, responseTooLong } from "../client/responses.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { type ByteSource, HashedSource } from "../core/intake.ts";
import type { Remote } from "./remote.ts";

/*
 * Requests to a running service for one blob, by its digest: what `fixity rm`, `copy` and
 * `verify --repair-from` need and `fixity/client` has no call for. Each is tried three times.
 */

/** The pauses before the second and the third attempt of a request. */
const RETRY_PAUSES_MS = [500, 2_000];

/** Statuses after which the same request may succeed at once. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** A proxy that drops `Expect` is not waited for longer than this (RFC 9110, 10.1.1). */
const CONTINUE_TIMEOUT_MS = 3_000;

/** Time without a byte in either direction after which a connection is given up. */
const IDLE_TIMEOUT_MS = 60_000;

/** Bytes that are fetched from another place. Disposing of them frees what they hold open. */
export type FetchedBytes = ByteSource & AsyncDisposable;

/** The bytes of a blob that are to be sent; `null` if they are gone. Opened again by each attempt. */
export type OpenBytes = () => Promise<(AsyncIterable<Uint8Array> & AsyncDisposable) | null>;

/** What became of a blob that was sent. */
export type SendOutcome = "stored" | "existed" | "missing" | "damaged";

/**
 * Fetches the bytes under a digest; `null` if the service has none. They are not checked.
 *
 * @throws FixityError `store-unavailable`
 */
export async function fetchBlob(remote: Remote, { hex }: Digest, signal: AbortSignal): Promise<FetchedBytes | null> {
  const response = await fetchPatiently(`${remote.endpoint.href}/${hex}`, remote, signal);
  if (response.ok && response.body !== null) return disposable(response.body, () => response.body?.cancel());
  await response.body?.cancel();
  if (response.status === 404) return null;
  throw new FixityError("store-unavailable", `${remote.endpoint.href} responded with status ${response.status}.`);
}

/**
 * Removes a blob; `false` if the service has none.
 *
 * @throws FixityClientError
 */
export async function removeBlobAt(remote: Remote, { hex }: Digest, signal: AbortSignal): Promise<boolean> {
  return await patiently(signal, async () => {
    try {
      await respondedTo(remote, { method: "DELETE", hex, headers: {}, signal });
      return true;
    } catch (error) {
      if (error instanceof FixityClientError && error.code === "blob-not-found") return false;
      throw error;
    }
  });
}

/**
 * Sends a blob to its link. A service that has the content answers before the body. The service
 * refuses other bytes than those of the digest.
 *
 * @param size bytes
 * @throws FixityClientError
 */
export async function sendBlob(
  remote: Remote,
  { digest, size, open }: { readonly digest: Digest; readonly size: number; readonly open: OpenBytes },
  signal: AbortSignal,
): Promise<SendOutcome> {
  return await patiently(signal, async () => {
    let isMissing = false;
    let sent: HashedSource | null = null;
    const headers = { "Content-Length": String(size), Expect: "100-continue" };
    const body = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      await using bytes = await open();
      isMissing = bytes === null;
      if (bytes === null) throw new FixityClientError("source-changed", "The file was removed.");
      sent = new HashedSource(bytes, ["sha256"]);
      yield* sent;
    };
    try {
      const status = await respondedTo(remote, { method: "PUT", hex: digest.hex, headers, body, signal });
      return status === 201 ? "stored" : "existed";
    } catch (error) {
      if (isMissing) return "missing";
      const isRefused = error instanceof FixityClientError && error.code === "digest-mismatch";
      // If what was sent is right, it was changed on the way, which another attempt may cure.
      const hex = (sent as HashedSource | null)?.digest("sha256")?.toString("hex");
      if ((isRefused && hex !== digest.hex) || isDamaged(error)) return "damaged";
      throw error;
    }
  });
}

function isDamaged(error: unknown): boolean {
  if (error instanceof FixityError) return error.code === "blob-damaged";
  return error instanceof Error && isDamaged(error.cause);
}

/** Calls `attempt` again after a failure that may pass. */
async function patiently<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (const pauseMs of RETRY_PAUSES_MS) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FixityClientError) || !error.retryable) throw error;
      await delay(pauseMs, signal);
    }
  }
  return await attempt();
}

interface BlobRequest {
  readonly method: "PUT" | "DELETE";
  readonly hex: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Called when the service is ready for the content. */
  readonly body?: () => AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

/**
 * Sends one request.
 *
 * @returns the status of a successful response
 * @throws FixityClientError
 */
async function respondedTo({ endpoint, headers: own }: Remote, request: BlobRequest): Promise<number> {
  const { method, hex, headers, body, signal } = request;
  const http = process.getBuiltinModule(endpoint.protocol === "https:" ? "node:https" : "node:http");
  const outgoing = http.request(`${endpoint.href}/${hex}`, {
    method,
    signal,
    timeout: IDLE_TIMEOUT_MS,
    headers: { Accept: "application/json", ...own, ...headers },
  });
  outgoing.once("timeout", () => outgoing.destroy(new Error("The connection was idle for too long.")));
  const responded = once(outgoing, "response") as Promise<[IncomingMessage]>;
  // The failure to read a source, which is not one of the connection.
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => null);
  let timer: NodeJS.Timeout | undefined;
  if (body === undefined) outgoing.end();
  else {
    const send = (): void => {
      clearTimeout(timer);
      if (outgoing.destroyed || outgoing.writableEnded) return;
      outgoing.off("continue", send);
      pipeline(body, outgoing).catch(reject);
    };
    outgoing.once("continue", send);
    timer = setTimeout(send, CONTINUE_TIMEOUT_MS);
    outgoing.flushHeaders();
  }
  try {
    const [incoming] = await Promise.race([responded, failed]);
    clearTimeout(timer);
    const { statusCode = 0 } = incoming;
    const text = await textOf(incoming);
    if (statusCode >= 200 && statusCode < 300) return statusCode;
    const field = (name: string): string | null => String(incoming.headers[name] ?? "") || null;
    throw errorIn({ status: statusCode, text, field });
  } catch (error) {
    signal.throwIfAborted();
    // A connection that breaks while the content is sent may still have carried a response.
    throw error instanceof FixityClientError ? error : asClientError(error);
  } finally {
    clearTimeout(timer);
    // The response may arrive before all of the content is sent.
    if (!outgoing.writableFinished) outgoing.destroy();
  }
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > RESPONSE_MAX_BYTES) throw responseTooLong(incoming.statusCode ?? 0);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Tries again without a connection, and after a status that passes. */
async function fetchPatiently(url: string, { headers }: Remote, signal: AbortSignal): Promise<Response> {
  for (const pauseMs of [...RETRY_PAUSES_MS, null]) {
    try {
      const response = await fetch(url, { signal, headers: { ...headers, "Accept-Encoding": "identity" } });
      if (pauseMs === null || !TRANSIENT_STATUSES.has(response.status)) return response;
      await response.body?.cancel();
    } catch (error) {
      signal.throwIfAborted();
      if (pauseMs === null) throw unreachable(url, error);
    }
    await delay(pauseMs, signal);
  }
  throw unreachable(url, null);
}

/** `fetch` itself says only "fetch failed". */
function unreachable(url: string, error: unknown): FixityError {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const why = systemErrorCode(cause) ?? (cause instanceof Error ? cause.message : "no response");
  return new FixityError("store-unavailable", `${new URL(url).origin} cannot be reached (${why}).`, { cause: error });
}

function disposable(source: AsyncIterable<Uint8Array>, free: () => Promise<void> | undefined): FetchedBytes {
  return {
    [Symbol.asyncIterator]: () => source[Symbol.asyncIterator](),
    // A stream that is locked by its reader is ended by the reader.
    [Symbol.asyncDispose]: async () => void (await free()?.catch(() => null)),
  };
}
