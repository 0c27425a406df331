import { ACCESS_SETTINGS, type AccessSettings } from "./access-settings.ts";
import { EVENT_SETTINGS, type EventSettings } from "./event-settings.ts";
import {
  choice,
  count,
  duration,
  endpoint,
  groupName,
  host,
  path,
  port,
  type Setting,
  size,
  positiveDuration,
  positiveSize,
  text,
  url,
  urlLifetime,
  workerCount,
  yesNo,
} from "./kinds.ts";

/** The values of all settings. */
export interface Settings extends AccessSettings, EventSettings {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly dir: string;
  readonly dirGroup: string | undefined;
  readonly durability: "full" | "none";
  /** Bytes. */
  readonly maxSize: number;
  /** Milliseconds. */
  readonly expiry: number;
  readonly maxOpen: number;
  /** Bytes. */
  readonly maxAppendSize: number | undefined;
  readonly minAppendSize: number;
  readonly prefix: string;
  readonly publicUrl: string | undefined;
  readonly downloads: "stream" | "redirect" | "accelerated";
  readonly verifyReads: "always" | "daily" | "never";
  readonly scripts: boolean;
  readonly view: boolean;
  readonly cacheTags: boolean;
  readonly interimResponses: "auto" | "yes" | "no";
  /** Milliseconds. */
  readonly redirectLifetime: number;
  /** Bytes. */
  readonly cache: number;
  /** Milliseconds. */
  readonly idleTimeout: number;
  /** Bytes per second. */
  readonly minRate: number;
  /** Milliseconds. */
  readonly rateWindow: number;
  /** Milliseconds. */
  readonly drainDelay: number;
  readonly shutdownTimeout: number;
  readonly metricsHost: string;
  readonly metricsPort: number | undefined;
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
  readonly logFormat: "auto" | "pretty" | "json";
  readonly bucketName: string | undefined;
  readonly bucketRegion: string | undefined;
  readonly bucketEndpoint: string | undefined;
  readonly bucketPublicEndpoint: string | undefined;
  readonly bucketAccessKey: string | undefined;
  readonly bucketSecretKey: string | undefined;
  readonly bucketSessionToken: string | undefined;
  readonly bucketAccessKeyFile: string | undefined;
  readonly bucketSecretKeyFile: string | undefined;
  readonly bucketSessionTokenFile: string | undefined;
  readonly bucketPrefix: string | undefined;
  readonly bucketPathStyle: boolean | undefined;
  /** Bytes. */
  readonly bucketPartSize: number;
  readonly bucketEqualParts: boolean;
  readonly bucketMaxParts: number;
  /** Bytes. */
  readonly memory: number | undefined;
}

/**
 * The table of all settings: flags, their help and the known environment variables derive from it.
 */
export const SETTINGS: { readonly [Name in keyof Settings]: Setting<Settings[Name]> } = {
  host: { env: "HOST", kind: host, defaultText: "127.0.0.1", value: "address", help: "address to listen on" },
  port: {
    env: "PORT",
    kind: port,
    defaultText: "3000",
    value: "number",
    help: "port to listen on; 0 picks a free one",
  },
  workers: {
    env: "UPLOAD_WORKERS",
    kind: workerCount,
    defaultText: "1",
    value: "number|auto",
    help: "processes that share the port; auto: one for each processor",
  },
  dir: { env: "UPLOAD_DIR", kind: text, defaultText: "./data", value: "folder", help: "folder of the disk store" },
  dirGroup: {
    env: "UPLOAD_DIR_GROUP",
    kind: groupName,
    value: "group",
    help: "group that may read the files of a new store, such as a web server's; other users may not",
  },
  durability: {
    env: "UPLOAD_DURABILITY",
    kind: choice("full", "none"),
    defaultText: "full",
    value: "full|none",
    help: "full: an acknowledged file survives a power failure; none: faster, for tests",
  },
  maxSize: {
    env: "UPLOAD_MAX_SIZE",
    kind: positiveSize,
    defaultText: "5GiB",
    value: "size",
    help: "maximum size of a file",
  },
  expiry: {
    env: "UPLOAD_EXPIRY",
    kind: positiveDuration,
    defaultText: "24h",
    value: "time",
    help: "how long an unfinished upload can be resumed, and a finished one reports its link",
  },
  maxOpen: {
    env: "UPLOAD_MAX_OPEN",
    kind: count,
    defaultText: "10000",
    value: "number",
    help: "maximum number of unfinished resumable uploads",
  },
  maxAppendSize: {
    env: "UPLOAD_MAX_APPEND_SIZE",
    kind: positiveSize,
    value: "size",
    help: "maximum number of bytes that one request may append to an upload",
  },
  minAppendSize: {
    env: "UPLOAD_MIN_APPEND_SIZE",
    kind: size,
    defaultText: "0",
    value: "size",
    help: "minimum number of bytes that one request must append, unless it is the last",
  },
  prefix: { env: "UPLOAD_PREFIX", kind: path, defaultText: "/uploads", value: "path", help: "path of the uploads" },
  publicUrl: {
    env: "UPLOAD_PUBLIC_URL",
    kind: url,
    value: "url",
    help: "URL in front of the path of links, which makes them absolute",
  },
  ...ACCESS_SETTINGS,
  ...EVENT_SETTINGS,
  downloads: {
    env: "UPLOAD_DOWNLOADS",
    kind: choice("stream", "redirect", "accelerated"),
    defaultText: "stream",
    value: "mode",
    help: "what sends files to clients: stream: this server; redirect: the bucket; accelerated: nginx or Caddy in front",
  },
  redirectLifetime: {
    env: "UPLOAD_REDIRECT_LIFETIME",
    kind: urlLifetime,
    defaultText: "5m",
    value: "time",
    help: "how long the URL of a redirect to the bucket is valid",
  },
  verifyReads: {
    env: "UPLOAD_VERIFY_READS",
    kind: choice("always", "daily", "never"),
    defaultText: "daily",
    value: "always|daily|never",
    help: "how often stored files are compared with their digest when they are read",
  },
  scripts: {
    env: "UPLOAD_SCRIPTS",
    kind: yesNo,
    defaultText: "no",
    value: "yes|no",
    help: "yes serves scripts and style sheets as such; otherwise they are plain text",
  },
  view: {
    env: "UPLOAD_VIEW",
    kind: yesNo,
    defaultText: "yes",
    value: "yes|no",
    help: "whether ?view appended to a link shows a page about the file",
  },
  cacheTags: {
    env: "UPLOAD_CACHE_TAGS",
    kind: yesNo,
    defaultText: "no",
    value: "yes|no",
    help: "yes adds Cache-Tag and Cache-Groups with the digest, so that a CDN can purge all links to a file at once",
  },
  interimResponses: {
    env: "UPLOAD_INTERIM_RESPONSES",
    kind: choice("auto", "yes", "no"),
    defaultText: "auto",
    value: "auto|yes|no",
    help: "104 responses during uploads; auto: only if no proxy is detected, because nginx fails on them",
  },
  cache: {
    env: "UPLOAD_CACHE",
    kind: size,
    defaultText: "64MiB",
    value: "size",
    help: "memory that keeps small files which are often read; 0 for none",
  },
  idleTimeout: {
    env: "UPLOAD_IDLE_TIMEOUT",
    kind: positiveDuration,
    defaultText: "60s",
    value: "time",
    help: "how long an upload may send no bytes, or a download accept none, before the connection is closed",
  },
  minRate: {
    env: "UPLOAD_MIN_RATE",
    kind: size,
    defaultText: "1KiB",
    value: "size",
    help: "minimum rate of an upload in bytes per second; 0 for no minimum",
  },
  rateWindow: {
    env: "UPLOAD_RATE_WINDOW",
    kind: positiveDuration,
    defaultText: "30s",
    value: "time",
    help: "time over which the rate is measured, and grace period of a new upload",
  },
  drainDelay: {
    env: "UPLOAD_DRAIN_DELAY",
    kind: duration,
    defaultText: "0s",
    value: "time",
    help: "how long requests are still accepted after SIGTERM, while /readyz answers 503",
  },
  shutdownTimeout: {
    env: "UPLOAD_SHUTDOWN_TIMEOUT",
    kind: duration,
    defaultText: "30s",
    value: "time",
    help: "how long downloads, and uploads that cannot be resumed, may take to finish when the server stops",
  },
  metricsHost: {
    env: "UPLOAD_METRICS_HOST",
    kind: host,
    defaultText: "127.0.0.1",
    value: "address",
    help: "address to serve metrics on, for Prometheus",
  },
  metricsPort: {
    env: "UPLOAD_METRICS_PORT",
    kind: port,
    value: "number",
    help: "port to serve metrics on, at /metrics; 0 picks a free one; without it nothing is measured",
  },
  logLevel: {
    env: "UPLOAD_LOG_LEVEL",
    kind: choice("debug", "info", "warn", "error", "silent"),
    defaultText: "info",
    value: "level",
    help: "debug, info, warn, error or silent",
  },
  logFormat: {
    env: "UPLOAD_LOG_FORMAT",
    kind: choice("auto", "pretty", "json"),
    defaultText: "auto",
    value: "auto|pretty|json",
    help: "pretty for people, json for programs; auto: pretty on a terminal",
  },
  bucketName: {
    env: "UPLOAD_BUCKET_NAME",
    kind: text,
    value: "name",
    help: "S3 bucket to store in, instead of a folder",
  },
  bucketRegion: { env: "UPLOAD_BUCKET_REGION", kind: text, value: "region", help: "region of the bucket" },
  bucketEndpoint: {
    env: "UPLOAD_BUCKET_ENDPOINT",
    kind: endpoint,
    value: "url",
    help: "S3 endpoint, unless it is AWS",
  },
  bucketPublicEndpoint: {
    env: "UPLOAD_BUCKET_PUBLIC_ENDPOINT",
    kind: endpoint,
    value: "url",
    help: "S3 endpoint as seen by clients, for UPLOAD_DOWNLOADS=redirect",
  },
  bucketAccessKey: {
    env: "UPLOAD_BUCKET_ACCESS_KEY",
    secret: true,
    kind: text,
    value: "key",
    help: "access key of the bucket",
  },
  bucketSecretKey: {
    env: "UPLOAD_BUCKET_SECRET_KEY",
    secret: true,
    kind: text,
    value: "key",
    help: "secret key of the bucket",
  },
  bucketSessionToken: {
    env: "UPLOAD_BUCKET_SESSION_TOKEN",
    secret: true,
    kind: text,
    value: "token",
    help: "session token of temporary keys",
  },
  bucketAccessKeyFile: {
    env: "UPLOAD_BUCKET_ACCESS_KEY_FILE",
    kind: text,
    value: "file",
    help: "file that contains the access key, such as a secret of a container",
  },
  bucketSecretKeyFile: {
    env: "UPLOAD_BUCKET_SECRET_KEY_FILE",
    kind: text,
    value: "file",
    help: "file that contains the secret key",
  },
  bucketSessionTokenFile: {
    env: "UPLOAD_BUCKET_SESSION_TOKEN_FILE",
    kind: text,
    value: "file",
    help: "file that contains the session token",
  },
  bucketPrefix: {
    env: "UPLOAD_BUCKET_PREFIX",
    kind: text,
    value: "prefix",
    help: "prefix of every key in the bucket",
  },
  bucketPathStyle: {
    env: "UPLOAD_BUCKET_PATH_STYLE",
    kind: yesNo,
    value: "yes|no",
    help: "put the bucket's name into the path, not the host; default yes if there is an endpoint",
  },
  bucketPartSize: {
    env: "UPLOAD_BUCKET_PART_SIZE",
    kind: positiveSize,
    defaultText: "8MiB",
    value: "size",
    help: "size of the parts in which large files are sent to the bucket",
  },
  bucketEqualParts: {
    env: "UPLOAD_BUCKET_EQUAL_PARTS",
    kind: yesNo,
    defaultText: "no",
    value: "yes|no",
    help: "keep all parts the same size, for providers that require it (Cloudflare R2)",
  },
  bucketMaxParts: {
    env: "UPLOAD_BUCKET_MAX_PARTS",
    kind: count,
    defaultText: "10000",
    value: "number",
    help: "maximum number of parts per file at the provider",
  },
  memory: {
    env: "UPLOAD_MEMORY",
    kind: positiveSize,
    value: "size",
    help: "memory for all uploads to a bucket together; default 96MiB, or four parts for each worker if that is more",
  },
};

/** Whether a setting describes the store: where and how blobs are kept. */
export function isStoreSetting(name: string): boolean {
  return ["dir", "dirGroup", "durability", "memory"].includes(name) || name.startsWith("bucket");
}

/** Whether a setting decides which events a service makes, where they go, and the links in them. */
export function isEventSetting(name: string): boolean {
  return name.startsWith("webhook") || name === "prefix" || name === "publicUrl";
}
