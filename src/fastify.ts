import "./core/require-supported-node.ts";
export type * from "./index.ts";
export { fixityPlugin, type FixityPluginOptions } from "./http/adapters/fastify.ts";
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
