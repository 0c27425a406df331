import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { Fixity } from "./core/fixity.ts";
import { type FetchHandler, type FetchHostOptions, fetchListener } from "./http/adapters/fetch.ts";
import { createHandler } from "./http/handler.ts";
import type { HandlerOptions } from "./http/options.ts";

export type { FetchHandler, FetchHostOptions } from "./http/adapters/fetch.ts";
export type { Action, Owner, Principal, PrincipalKind, PrincipalLimits } from "./access/principal.ts";
export type { AccessOptions, AccessRequest, AppPrincipal, Decision, Denial, Narrowing } from "./http/access-options.ts";
export type {
  AcceleratedDownloads,
  DownloadOptions,
  RedirectedDownloads,
  StreamedDownloads,
} from "./http/delegated-downloads.ts";
export type { Answer, AnswerNote, AnswerStream, Exchange, Fields, RequestBody } from "./http/exchange.ts";
export type { FormLimits } from "./http/form/form-reader.ts";
export type { HandlerOptions, Report } from "./http/options.ts";

/** {@link HandlerOptions} for hosts of the Fetch standard's types. */
export interface FetchHandlerOptions<Context = unknown> extends HandlerOptions<Context>, FetchHostOptions {
  /**
   * Returns what the hooks are to know about a request, such as its session. Receives the request,
   * and the arguments that the host passes after it. Called once for each request, before anything
   * else about it.
   */
  context?(request: Request, ...host: readonly unknown[]): Context | Promise<Context>;
}

/**
 * The service as a Fetch handler, for Hono, Next, Bun and Deno: use `app.mount`, or one route for
 * everything below the prefix.
 */
export function fetchHandler<Context = unknown>(
  fixity: Fixity<Context>,
  options: FetchHandlerOptions<Context> = {},
): FetchHandler {
  return fetchListener(createHandler(fixity, options), options);
}
