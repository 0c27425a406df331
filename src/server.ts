import "./core/require-supported-node.ts";
export type * from "./index.ts";
export { type Config, type ConfigSources, readConfig } from "./server/config.ts";
export { type RunningServer, startServer } from "./server/server.ts";
export type { Settings } from "./server/settings.ts";
