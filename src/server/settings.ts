import { isIP } from "node:net";
import { z } from "zod";
import { parseDuration, parseSize } from "./units.ts";

/** What can be set, as values. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly durability: "full" | "none";
  /** Bytes. */
  readonly maxSize: number;
  readonly prefix: string;
  readonly publicUrl: string | undefined;
  readonly tokens: readonly string[] | undefined;
  readonly tokensFile: string | undefined;
  readonly open: boolean;
  readonly corsOrigins: readonly string[] | undefined;
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
  readonly bucketAccessKey: string | undefined;
  readonly bucketSecretKey: string | undefined;
}

/** One setting: its name in the environment, what a value must be, and what it is for. */
export interface Setting<Value> {
  readonly env: string;
  /** Must not be seen in a process list: it has no flag. */
  readonly secret?: boolean;
  /** The value of a text, or an issue that says what the text should have been. */
  readonly schema: z.ZodType<NonNullable<Value>, string>;
  /** As it would be written; without one the setting is not set. */
  readonly fallback?: string;
  /** A word for the value in `--help`. */
  readonly value: string;
  readonly help: string;
}

const text: z.ZodType<string, string> = z.string().trim().min(1, "must not be empty");

function choice<const Name extends string>(...names: readonly Name[]): z.ZodType<Name, string> {
  return z.string().transform((given, context) => {
    const name = names.find((candidate) => candidate === given.trim().toLowerCase());
    if (name !== undefined) return name;
    context.addIssue(`must be ${names.slice(0, -1).join(", ")} or ${names.at(-1)}`);
    return z.NEVER;
  });
}

function parsed(parse: (text: string) => number | null, expected: string): z.ZodType<number, string> {
  return z.string().transform((given, context) => {
    const value = parse(given);
    if (value !== null) return value;
    context.addIssue(`must be ${expected}`);
    return z.NEVER;
  });
}

const size = parsed(parseSize, "a size such as 512MiB, 5GiB or 4096");
const duration = parsed(parseDuration, "a duration such as 500ms, 60s or 5m");
const port = parsed(
  (given) => (/^\d{1,5}$/.test(given.trim()) && Number(given) < 65_536 ? Number(given) : null),
  "a port from 0 to 65535",
);
const yesNo: z.ZodType<boolean, string> = choice("yes", "no").transform((answer) => answer === "yes");

/** Words separated by commas; a lone asterisk stands for all. */
const list: z.ZodType<readonly string[], string> = z.string().transform((given) =>
  given
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== ""),
);

const host: z.ZodType<string, string> = text.refine(
  (given) => isIP(given) !== 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(given),
  "must be an address or a host name",
);

const url: z.ZodType<string, string> = text.refine(
  (given) => /^https?:$/.test(URL.parse(given)?.protocol ?? ""),
  "must be a URL such as https://files.example.com",
);

/** Every setting, once: from this table come the flags, their help, and what the environment may hold. */
export const SETTINGS: { readonly [Name in keyof Settings]: Setting<Settings[Name]> } = {
  host: { env: "HOST", schema: host, fallback: "127.0.0.1", value: "address", help: "address to listen on" },
  port: { env: "PORT", schema: port, fallback: "3000", value: "number", help: "port to listen on; 0 for any free one" },
  dir: { env: "UPLOAD_DIR", schema: text, fallback: "./data", value: "folder", help: "folder of the disk store" },
  durability: {
    env: "UPLOAD_DURABILITY",
    schema: choice("full", "none"),
    fallback: "full",
    value: "level",
    help: "full: an acknowledged file outlives a power cut; none: quicker, for tests",
  },
  maxSize: { env: "UPLOAD_MAX_SIZE", schema: size, fallback: "5GiB", value: "size", help: "largest file taken" },
  prefix: { env: "UPLOAD_PREFIX", schema: text, fallback: "/uploads", value: "path", help: "path of the uploads" },
  publicUrl: {
    env: "UPLOAD_PUBLIC_URL",
    schema: url,
    value: "url",
    help: "makes links absolute: what stands before the path",
  },
  tokens: {
    env: "UPLOAD_TOKENS",
    secret: true,
    schema: list,
    value: "list",
    help: "tokens that may upload and remove, with commas",
  },
  tokensFile: { env: "UPLOAD_TOKENS_FILE", schema: text, value: "file", help: "a file of such tokens, one a line" },
  open: {
    env: "UPLOAD_OPEN",
    schema: yesNo,
    fallback: "no",
    value: "yes|no",
    help: "let anybody upload, without a token",
  },
  corsOrigins: {
    env: "UPLOAD_CORS_ORIGINS",
    schema: list,
    value: "list",
    help: "origins whose pages may use the service, with commas, or *",
  },
  idleTimeout: {
    env: "UPLOAD_IDLE_TIMEOUT",
    schema: duration,
    fallback: "60s",
    value: "time",
    help: "how long an upload may bring no byte",
  },
  minRate: {
    env: "UPLOAD_MIN_RATE",
    schema: size,
    fallback: "1KiB",
    value: "size",
    help: "bytes a second that an upload must bring; 0 for any",
  },
  rateWindow: {
    env: "UPLOAD_RATE_WINDOW",
    schema: duration,
    fallback: "30s",
    value: "time",
    help: "over which time that is measured, and the grace of a new upload",
  },
  shutdownTimeout: {
    env: "UPLOAD_SHUTDOWN_TIMEOUT",
    schema: duration,
    fallback: "30s",
    value: "time",
    help: "how long running uploads may take to finish when the server stops",
  },
  logLevel: {
    env: "UPLOAD_LOG_LEVEL",
    schema: choice("debug", "info", "warn", "error", "silent"),
    fallback: "info",
    value: "level",
    help: "debug, info, warn, error or silent",
  },
  logFormat: {
    env: "UPLOAD_LOG_FORMAT",
    schema: choice("auto", "pretty", "json"),
    fallback: "auto",
    value: "format",
    help: "pretty for people, json for programs; auto: pretty on a terminal",
  },
  bucketName: {
    env: "UPLOAD_BUCKET_NAME",
    schema: text,
    value: "name",
    help: "store in this S3 bucket instead of a folder",
  },
  bucketRegion: { env: "UPLOAD_BUCKET_REGION", schema: text, value: "region", help: "region of the bucket" },
  bucketEndpoint: {
    env: "UPLOAD_BUCKET_ENDPOINT",
    schema: url,
    value: "url",
    help: "S3 endpoint, where it is not AWS",
  },
  bucketAccessKey: {
    env: "UPLOAD_BUCKET_ACCESS_KEY",
    secret: true,
    schema: text,
    value: "key",
    help: "access key of the bucket",
  },
  bucketSecretKey: {
    env: "UPLOAD_BUCKET_SECRET_KEY",
    secret: true,
    schema: text,
    value: "key",
    help: "secret key of the bucket",
  },
};
