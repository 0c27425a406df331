import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { IncomingMessage } from "node:http";
import type { Fixity } from "./core/fixity.ts";
import { nodeListener, type NodeListener } from "./http/adapters/node.ts";
import { createHandler } from "./http/handler.ts";
import type { HandlerOptions } from "./http/options.ts";

export { expectContinue, type NodeListener } from "./http/adapters/node.ts";
export type { Action, Owner, Principal, PrincipalKind, PrincipalLimits } from "./access/principal.ts";
export type { AccessOptions, AccessRequest, AppPrincipal, Decision, Denial, Narrowing } from "./http/access-options.ts";
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

/** {@link HandlerOptions} for Node's own types, Express and Connect. */
export interface NodeHandlerOptions<Context = unknown> extends HandlerOptions<Context> {
  /**
   * Returns what the hooks are to know about a request, such as its session. Receives the
   * framework's own request. Called once for each request, before anything else about it.
   */
  context?(request: IncomingMessage): Context | Promise<Context>;
}

/**
 * The service as a request listener: `createServer(nodeHandler(fixity))`, or
 * `app.use(nodeHandler(fixity))` in Express, Connect and Nest, where requests outside the service's
 * prefix go to the next handler.
 */
export function nodeHandler<Context = unknown>(
  fixity: Fixity<Context>,
  options: NodeHandlerOptions<Context> = {},
): NodeListener {
  return nodeListener(createHandler(fixity, options));
}
