import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { Fixity } from "./core/fixity.ts";
import { type FetchHandler, type FetchHostOptions, fetchListener } from "./http/adapters/fetch.ts";
import { createHandler } from "./http/handler.ts";
import type { HandlerOptions } from "./http/options.ts";

export type { FetchHandler, FetchHostOptions } from "./http/adapters/fetch.ts";
export { type Action, bearerTokens } from "./http/authorize.ts";
export type {
  AcceleratedDownloads,
  DownloadOptions,
  RedirectedDownloads,
  StreamedDownloads,
} from "./http/delegated-downloads.ts";
export type { Answer, AnswerNote, AnswerStream, Exchange, Fields, RequestBody } from "./http/exchange.ts";
export type { FormLimits } from "./http/form/form-reader.ts";
export type { HandlerOptions, Report } from "./http/options.ts";

/**
 * The service as a Fetch handler, for Hono, Next, Bun and Deno: use `app.mount`, or one route for
 * everything below the prefix.
 */
export function fetchHandler(fixity: Fixity, options: HandlerOptions & FetchHostOptions = {}): FetchHandler {
  return fetchListener(createHandler(fixity, options), options);
}
