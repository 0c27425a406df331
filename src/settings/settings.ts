import {
  addressRanges,
  choice,
  count,
  duration,
  endpoint,
  groupName,
  host,
  hosts,
  type Kind,
  list,
  origins,
  path,
  port,
  size,
  someDuration,
  someSize,
  text,
  url,
  urlLifetime,
  yesNo,
} from "./kinds.ts";

/** What can be set, as values. */
export interface Settings {
  readonly host: string;
  readonly port: number;
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
  readonly tokens: readonly string[] | undefined;
  readonly tokensFile: string | undefined;
  readonly open: boolean;
  readonly hosts: readonly string[] | undefined;
  readonly corsOrigins: "*" | readonly string[] | undefined;
  readonly trustedProxies: readonly string[] | undefined;
  readonly downloads: "stream" | "redirect" | "accelerated";
  readonly scripts: boolean;
  readonly view: boolean;
  readonly interimResponses: "auto" | "yes" | "no";
  /** Milliseconds. */
  readonly redirectLifetime: number;
  /** Milliseconds. */
  readonly idleTimeout: number;
  /** Bytes per second. */
  readonly minRate: number;
  /** Milliseconds. */
  readonly rateWindow: number;
  /** Milliseconds. */
  readonly shutdownTimeout: number;
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
  readonly logFormat: "auto" | "pretty" | "json";
  readonly bucketName: string | undefined;
  readonly bucketRegion: string | undefined;
  readonly bucketEndpoint: string | undefined;
  readonly bucketPublicEndpoint: string | undefined;
  readonly bucketAccessKey: string | undefined;
  readonly bucketSecretKey: string | undefined;
  readonly bucketSessionToken: string | undefined;
  readonly bucketPrefix: string | undefined;
  readonly bucketPathStyle: boolean | undefined;
  /** Bytes. */
  readonly bucketPartSize: number;
  readonly bucketEqualParts: boolean;
  readonly bucketMaxParts: number;
  /** Bytes. */
  readonly memory: number | undefined;
}

/** One setting: its name in the environment, what a value must be, and what it is for. */
export interface Setting<Value> {
  readonly env: string;
  /** Must not be seen in a process list: it has no flag. */
  readonly secret?: boolean;
  readonly kind: Kind<NonNullable<Value>>;
  /** As it would be written; without one the setting is not set. */
  readonly fallback?: string;
  /** A word for the value in `--help`. */
  readonly value: string;
  readonly help: string;
}

/** Every setting, once: from this table come the flags, their help, and what the environment may hold. */
export const SETTINGS: { readonly [Name in keyof Settings]: Setting<Settings[Name]> } = {
  host: { env: "HOST", kind: host, fallback: "127.0.0.1", value: "address", help: "address to listen on" },
  port: { env: "PORT", kind: port, fallback: "3000", value: "number", help: "port to listen on; 0 for any free one" },
  dir: { env: "UPLOAD_DIR", kind: text, fallback: "./data", value: "folder", help: "folder of the disk store" },
  dirGroup: {
    env: "UPLOAD_DIR_GROUP",
    kind: groupName,
    value: "group",
    help: "group that may read the files of a new store, such as a web server's; others may not",
  },
  durability: {
    env: "UPLOAD_DURABILITY",
    kind: choice("full", "none"),
    fallback: "full",
    value: "level",
    help: "full: an acknowledged file outlives a power cut; none: quicker, for tests",
  },
  maxSize: { env: "UPLOAD_MAX_SIZE", kind: someSize, fallback: "5GiB", value: "size", help: "largest file taken" },
  expiry: {
    env: "UPLOAD_EXPIRY",
    kind: someDuration,
    fallback: "24h",
    value: "time",
    help: "how long an unfinished upload can be resumed, and a finished one answers",
  },
  maxOpen: {
    env: "UPLOAD_MAX_OPEN",
    kind: count,
    fallback: "10000",
    value: "number",
    help: "most unfinished uploads that can be resumed",
  },
  maxAppendSize: {
    env: "UPLOAD_MAX_APPEND_SIZE",
    kind: someSize,
    value: "size",
    help: "most bytes that one request may append to an upload",
  },
  minAppendSize: {
    env: "UPLOAD_MIN_APPEND_SIZE",
    kind: size,
    fallback: "0",
    value: "size",
    help: "fewest bytes that one request may append, where it is not the last",
  },
  prefix: { env: "UPLOAD_PREFIX", kind: path, fallback: "/uploads", value: "path", help: "path of the uploads" },
  publicUrl: {
    env: "UPLOAD_PUBLIC_URL",
    kind: url,
    value: "url",
    help: "makes links absolute: what stands before the path",
  },
  tokens: {
    env: "UPLOAD_TOKENS",
    secret: true,
    kind: list,
    value: "list",
    help: "tokens that may upload and remove, with commas",
  },
  tokensFile: {
    env: "UPLOAD_TOKENS_FILE",
    kind: text,
    value: "file",
    help: "a file of tokens that may upload and remove, one a line",
  },
  open: {
    env: "UPLOAD_OPEN",
    kind: yesNo,
    fallback: "no",
    value: "yes|no",
    help: "let anybody upload, without a token",
  },
  hosts: {
    env: "UPLOAD_HOSTS",
    kind: hosts,
    value: "list",
    help: "names under which a server without tokens is reached, with commas; addresses and localhost need not be listed",
  },
  corsOrigins: {
    env: "UPLOAD_CORS_ORIGINS",
    kind: origins,
    value: "list",
    help: "origins whose pages may use the service, with commas, or *",
  },
  trustedProxies: {
    env: "UPLOAD_TRUSTED_PROXIES",
    kind: addressRanges,
    value: "list",
    help: "addresses or ranges (10.0.0.0/8) of the proxies in front, with commas: their X-Forwarded-For tells clients apart",
  },
  downloads: {
    env: "UPLOAD_DOWNLOADS",
    kind: choice("stream", "redirect", "accelerated"),
    fallback: "stream",
    value: "mode",
    help: "who sends files: stream: this server; redirect: the bucket; accelerated: nginx or Caddy in front",
  },
  redirectLifetime: {
    env: "UPLOAD_REDIRECT_LIFETIME",
    kind: urlLifetime,
    fallback: "5m",
    value: "time",
    help: "how long the bucket's URL of a file holds, with UPLOAD_DOWNLOADS=redirect",
  },
  scripts: {
    env: "UPLOAD_SCRIPTS",
    kind: yesNo,
    fallback: "no",
    value: "yes|no",
    help: "files may be scripts and style sheets of pages; otherwise they are plain text",
  },
  view: {
    env: "UPLOAD_VIEW",
    kind: yesNo,
    fallback: "yes",
    value: "yes|no",
    help: "links have a page of their own, behind ?view",
  },
  interimResponses: {
    env: "UPLOAD_INTERIM_RESPONSES",
    kind: choice("auto", "yes", "no"),
    fallback: "auto",
    value: "auto|yes|no",
    help: "104 responses while an upload comes in; auto: unless a proxy shows, as nginx breaks on them",
  },
  idleTimeout: {
    env: "UPLOAD_IDLE_TIMEOUT",
    kind: someDuration,
    fallback: "60s",
    value: "time",
    help: "how long an upload may bring no byte, and who downloads may take none",
  },
  minRate: {
    env: "UPLOAD_MIN_RATE",
    kind: size,
    fallback: "1KiB",
    value: "size",
    help: "bytes a second that an upload must bring; 0 for any",
  },
  rateWindow: {
    env: "UPLOAD_RATE_WINDOW",
    kind: someDuration,
    fallback: "30s",
    value: "time",
    help: "over which time that is measured, and the grace of a new upload",
  },
  shutdownTimeout: {
    env: "UPLOAD_SHUTDOWN_TIMEOUT",
    kind: duration,
    fallback: "30s",
    value: "time",
    help: "how long uploads that cannot be resumed, and downloads, may take to finish when the server stops",
  },
  logLevel: {
    env: "UPLOAD_LOG_LEVEL",
    kind: choice("debug", "info", "warn", "error", "silent"),
    fallback: "info",
    value: "level",
    help: "debug, info, warn, error or silent",
  },
  logFormat: {
    env: "UPLOAD_LOG_FORMAT",
    kind: choice("auto", "pretty", "json"),
    fallback: "auto",
    value: "format",
    help: "pretty for people, json for programs; auto: pretty on a terminal",
  },
  bucketName: {
    env: "UPLOAD_BUCKET_NAME",
    kind: text,
    value: "name",
    help: "store in this S3 bucket instead of a folder",
  },
  bucketRegion: { env: "UPLOAD_BUCKET_REGION", kind: text, value: "region", help: "region of the bucket" },
  bucketEndpoint: {
    env: "UPLOAD_BUCKET_ENDPOINT",
    kind: endpoint,
    value: "url",
    help: "S3 endpoint, where it is not AWS",
  },
  bucketPublicEndpoint: {
    env: "UPLOAD_BUCKET_PUBLIC_ENDPOINT",
    kind: endpoint,
    value: "url",
    help: "S3 endpoint as clients reach it, where UPLOAD_DOWNLOADS=redirect sends them there",
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
    help: "the third part of temporary keys",
  },
  bucketPrefix: {
    env: "UPLOAD_BUCKET_PREFIX",
    kind: text,
    value: "prefix",
    help: "put in front of every key in the bucket",
  },
  bucketPathStyle: {
    env: "UPLOAD_BUCKET_PATH_STYLE",
    kind: yesNo,
    value: "yes|no",
    help: "the bucket's name stands in the path, not in the host; yes where there is an endpoint",
  },
  bucketPartSize: {
    env: "UPLOAD_BUCKET_PART_SIZE",
    kind: someSize,
    fallback: "8MiB",
    value: "size",
    help: "size of the parts in which large files go to the bucket",
  },
  bucketEqualParts: {
    env: "UPLOAD_BUCKET_EQUAL_PARTS",
    kind: yesNo,
    fallback: "no",
    value: "yes|no",
    help: "parts never grow, for providers that want them equal (Cloudflare R2)",
  },
  bucketMaxParts: {
    env: "UPLOAD_BUCKET_MAX_PARTS",
    kind: count,
    fallback: "10000",
    value: "number",
    help: "most parts that the provider takes for one file",
  },
  memory: {
    env: "UPLOAD_MEMORY",
    kind: someSize,
    value: "size",
    help: "bytes held for all uploads to a bucket together; 96MiB, or four parts where that is more",
  },
};
