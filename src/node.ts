import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { Fixity } from "./core/fixity.ts";
import { nodeListener, type NodeListener } from "./http/adapters/node.ts";
import { createHandler } from "./http/handler.ts";
import type { HandlerOptions } from "./http/options.ts";

export { expectContinue, type NodeListener } from "./http/adapters/node.ts";
export { type Action, bearerTokens } from "./http/authorize.ts";
export type { Handler } from "./http/handler.ts";
export type {
  AcceleratedDownloads,
  DownloadOptions,
  RedirectedDownloads,
  StreamedDownloads,
} from "./http/delegated-downloads.ts";
export type { Answer, AnswerNote, AnswerStream, Exchange, Fields, RateLimits, RequestBody } from "./http/exchange.ts";
export type { FormLimits } from "./http/form/form-reader.ts";
export type { HandlerOptions, Report } from "./http/options.ts";

/**
 * The service as a request listener: `createServer(nodeHandler(fixity))`, or
 * `app.use(nodeHandler(fixity))` in Express, Connect and Nest, where requests outside the service's
 * prefix go to the next handler.
 */
export function nodeHandler(fixity: Fixity, options: HandlerOptions = {}): NodeListener {
  return nodeListener(createHandler(fixity, options));
}
