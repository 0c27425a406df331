import { isIP } from "node:net";
import { isLoopback } from "../access/client-address.ts";
import { formatExactSize } from "../base/format-size.ts";
import { FixityError } from "../core/errors.ts";
import { isLocalhost } from "../http/fields/host.ts";
import type { Kind, Setting } from "./kinds.ts";
import { type BucketKeys, readBucketKeys, readSecrets, type Secrets } from "./secrets.ts";
import { isEventSetting, isStoreSetting, SETTINGS, type Settings } from "./settings.ts";

/*
 * From texts to a configuration. `settings.ts` is the table of all settings, and `kinds.ts` parses
 * their values. This file reads flags and environment variables, and checks the values against each
 * other; `secrets.ts` reads tokens and keys. `configured-store.ts` opens the store that a configuration describes. The server and the
 * commands that work on a store use the same configuration.
 */

/** The configuration of a server: all settings, checked one by one and against each other. */
export interface Config
  extends Omit<Settings, keyof Secrets | `${keyof (Secrets & BucketKeys)}File` | "revealExisting">, Secrets {
  readonly revealExisting: boolean;
}

/** The variables of the process's environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where a configuration comes from: flags override environment variables, and these override
 * defaults.
 */
export interface ConfigSources {
  /** Texts by the name of the setting, such as `maxSize`. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  readonly env?: Environment;
}

const VARIABLE_PREFIX = "UPLOAD_";

/**
 * Reads the configuration of a server.
 *
 * @throws FixityError `invalid-option`, with one line for each mistake
 */
export function readConfig({ flags = {}, env = {} }: ConfigSources): Config {
  const mistakes: string[] = unknownVariables(env);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    // An empty variable counts as unset, as in `PORT= fixity serve`.
    const given = flags[name] ?? (env[setting.env] || undefined);
    const text = given ?? setting.defaultText;
    if (text === undefined) continue;
    const value = setting.kind.parse(text);
    if (value !== null) {
      values[name] = value;
      continue;
    }
    const source = flags[name] === undefined ? setting.env : flagOf(name);
    // A secret must not end up in a log.
    mistakes.push(mistakeIn(source, setting.kind, setting.secret === true ? null : text));
  }
  if (mistakes.length > 0) throw invalid(mistakes.join("\n"));
  return crossCheck(values as unknown as Settings);
}

/**
 * Reads the settings of the store, of the uploads in it and of events exactly as a server does. All other
 * settings of a server may be set and are ignored: a command that works on a store does not need to
 * know who may upload.
 *
 * @throws FixityError `invalid-option`, with one line for each mistake
 */
export function readStoreConfig({ flags, env = {} }: ConfigSources): Config {
  const ignored = new Set(
    Object.entries(SETTINGS)
      .filter(([name]) => !isStoreSetting(name) && !isEventSetting(name) && name !== "expiry")
      .map(([, setting]) => setting.env),
  );
  const relevant = Object.entries(env).filter(([name]) => !ignored.has(name));
  return readConfig({ ...(flags !== undefined && { flags }), env: Object.fromEntries(relevant) });
}

/**
 * The value of a flag that is no setting; `null` if it was not given.
 *
 * @throws FixityError `invalid-option`, worded as for settings
 */
export function readFlag<Value>(flag: string, kind: Kind<Value>, text: string | undefined): Value | null {
  if (text === undefined) return null;
  const value = kind.parse(text);
  if (value === null) throw invalid(mistakeIn(flag, kind, text));
  return value;
}

/** Whether uploads need a token or a permit. */
export function needsCredentials({ tokens, permitKeys }: Pick<Config, "tokens" | "permitKeys">): boolean {
  return tokens !== null || permitKeys !== null;
}

/** The flag of a setting: `--max-size`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Whether a host is this machine: `localhost`, or a loopback address with or without the brackets
 * that it has in a URL.
 */
export function isLoopbackHost(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, "$1");
  return isLocalhost(host) || (isIP(address) !== 0 && isLoopback(address));
}

/** @param text what was given; `null` for a secret */
function mistakeIn(source: string, { expected }: Kind<unknown>, text: string | null): string {
  return `${source} must be ${expected}${text === null ? "" : `, not ${JSON.stringify(text)}`}.`;
}

function unknownVariables(env: Environment): string[] {
  const known = Object.values(SETTINGS).map(({ env }) => env);
  return Object.keys(env)
    .filter((name) => name.startsWith(VARIABLE_PREFIX) && !known.includes(name) && !isServiceVariable(name, env[name]))
    .map((name) => {
      const meant = known.find((setting) => name === VARIABLE_PREFIX + setting) ?? closestMatch(name, known);
      return `Unknown setting ${name}.${meant === null ? "" : ` Did you mean ${meant}?`}`;
    });
}

/**
 * Whether Kubernetes, or Docker's links, injected a variable: for a service named "upload" or
 * "upload-api" the names of these variables begin like those of our settings
 * (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
function isServiceVariable(name: string, value = ""): boolean {
  const pattern =
    /^UPLOAD(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
  return pattern.test(name) || (/^UPLOAD(_[A-Z0-9_]+)?_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value));
}

/** The word that a mistyped one is closest to; `null` if it is close to none. */
export function closestMatch(mistyped: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let limit = Math.max(2, Math.floor(mistyped.length / 4)) + 1;
  for (const word of words) {
    const distance = editDistance(mistyped, word);
    if (distance < limit) [best, limit] = [word, distance];
  }
  return best;
}

/** The Levenshtein distance: how many letters have to be inserted, deleted or replaced. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, letter] of from.split("").entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (to[column - 1] === letter ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

function crossCheck(given: Settings): Config {
  const settings = { ...given, ...readBucketKeys(given) };
  const { tokensFile: _, permitKeysFile: _1, linkKeysFile: _2, ...others } = settings;
  const { bucketAccessKeyFile: _3, bucketSecretKeyFile: _4, bucketSessionTokenFile: _5, ...more } = others;
  const { webhookSecretFile: _6, ...rest } = more;
  checkBucket(settings);
  checkMemory(settings);
  if (rest.downloads === "redirect" && rest.bucketName === undefined) {
    throw invalid("UPLOAD_DOWNLOADS=redirect sends clients to a bucket, but UPLOAD_BUCKET_NAME is not set.");
  }
  if (rest.minAppendSize > (rest.maxAppendSize ?? Infinity)) {
    throw invalid("UPLOAD_MIN_APPEND_SIZE is greater than UPLOAD_MAX_APPEND_SIZE.");
  }
  const revealExisting = rest.revealExisting ?? rest.reads === "public";
  const config: Config = { ...rest, revealExisting, ...readSecrets(settings) };
  if (config.reads === "signed" && config.linkKeys === null) {
    throw invalid("UPLOAD_READS=signed needs keys that sign links: set UPLOAD_LINK_KEYS or UPLOAD_LINK_KEYS_FILE.");
  }
  if (config.webhookUrl !== undefined && config.webhookSecret === null) {
    throw invalid("UPLOAD_WEBHOOK_URL needs a secret: set UPLOAD_WEBHOOK_SECRET or UPLOAD_WEBHOOK_SECRET_FILE.");
  }
  if (config.webhookUrl === undefined && config.webhookSecret !== null) {
    throw invalid("UPLOAD_WEBHOOK_SECRET is set, but UPLOAD_WEBHOOK_URL is not.");
  }
  const isProtected = needsCredentials(config);
  if (isProtected && config.open) {
    throw invalid("UPLOAD_OPEN=yes contradicts tokens and permit keys: remove one of them.");
  }
  if (!isProtected && !config.open && !isLoopbackHost(config.host)) {
    throw invalid(
      `Without tokens anybody who reaches ${config.host} could upload. Set UPLOAD_TOKENS, or UPLOAD_OPEN=yes if that is what you want.`,
    );
  }
  return config;
}

/**
 * Bucket settings without a bucket, or half of a key pair, are mistakes: the store would silently
 * be a folder, or fail later.
 */
function checkBucket(settings: Settings): void {
  const { bucketName, bucketRegion, bucketEndpoint, bucketAccessKey, bucketSecretKey } = settings;
  if (bucketName === undefined) {
    const names = Object.keys(SETTINGS).filter((name) => name.startsWith("bucket")) as (keyof Settings)[];
    const stray = names.find((name) => SETTINGS[name].defaultText === undefined && settings[name] !== undefined);
    if (stray !== undefined) throw invalid(`${SETTINGS[stray].env} is set, but UPLOAD_BUCKET_NAME is not.`);
    return;
  }
  if (bucketRegion === undefined && bucketEndpoint === undefined) {
    throw invalid("Set UPLOAD_BUCKET_REGION for a bucket at AWS, or UPLOAD_BUCKET_ENDPOINT for one elsewhere.");
  }
  if ((bucketAccessKey === undefined) !== (bucketSecretKey === undefined)) {
    throw invalid("UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY belong together: set both or neither.");
  }
}

/** Workers divide the memory, and each needs as much as a server of one process. */
function checkMemory({ memory, workers, bucketName, bucketPartSize }: Settings): void {
  const needed = workers * 4 * bucketPartSize;
  if (bucketName === undefined || workers === 1 || memory === undefined || memory >= needed) return;
  throw invalid(
    `UPLOAD_MEMORY is too small for ${workers} workers: each needs four parts, so set at least ${formatExactSize(needed)}, ` +
      "fewer workers (UPLOAD_WORKERS) or smaller parts (UPLOAD_BUCKET_PART_SIZE).",
  );
}

function invalid(message: string, cause?: unknown): FixityError {
  return new FixityError("invalid-option", message, { cause });
}
