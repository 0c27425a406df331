import "./core/require-supported-node.ts";
export type * from "./index.ts";
export type { TokenSet } from "./access/tokens.ts";
export type { AccessSettings } from "./settings/access-settings.ts";
export { type Config, type ConfigSources, type Environment, readConfig } from "./settings/config.ts";
export { type RunningServer, type ServerLog, startServer, type WriteLogLine } from "./server/server.ts";
export type { Secrets } from "./settings/secrets.ts";
export type { Settings } from "./settings/settings.ts";
