export { fixityPlugin, type FixityPluginOptions } from "./http/adapters/fastify.ts";
export { bearerTokens } from "./http/bearer.ts";
export type { DownloadOptions } from "./http/delegation/options.ts";
export type { FormLimits } from "./http/form/form-limits.ts";
export type { Action, HandlerOptions, Report } from "./http/options.ts";
