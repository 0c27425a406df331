import { readFileSync } from "node:fs";
import { FixityError } from "../core/errors.ts";
import { isLoopbackHost } from "../server/local-mode.ts";
import { nearest } from "./nearest.ts";
import { type Setting, SETTINGS, type Settings } from "./settings.ts";

/** The configuration of a server: the settings, checked one by one and against each other. */
export interface Config extends Omit<Settings, "tokens" | "tokensFile"> {
  /** Tokens that may upload and remove; empty where none is needed. */
  readonly tokens: readonly string[];
}

/** What configures a server: flags win over the environment, and that over the defaults. */
export interface ConfigSources {
  /** Texts by the name of the setting, such as `maxSize`. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const PREFIX = "UPLOAD_";
/** A token that can be guessed is none. */
const MIN_TOKEN_LENGTH = 16;

/**
 * Reads a configuration.
 *
 * @throws FixityError `invalid-option`, with one line for each thing that is wrong
 */
export function readConfig({ flags = {}, env = {} }: ConfigSources): Config {
  const wrong: string[] = unknownVariables(env);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    // an empty variable is one that is not set, as in `PORT= fixity serve`
    const given = flags[name] ?? (env[setting.env] || undefined);
    const text = given ?? setting.fallback;
    if (text === undefined) continue;
    const value = setting.kind.parse(text);
    if (value === null) wrong.push(complaint(setting, flags[name] === undefined ? setting.env : flagOf(name), text));
    else values[name] = value;
  }
  if (wrong.length > 0) throw new FixityError("invalid-option", wrong.join("\n"));
  return checkTogether(values as unknown as Settings);
}

/** The flag of a setting: `--max-size`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function complaint({ kind, secret }: Setting<unknown>, name: string, text: string): string {
  const found = secret === true ? "" : `, not ${JSON.stringify(text)}`;
  return `${name} must be ${kind.expected}${found}.`;
}

function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = Object.values(SETTINGS).map(({ env }) => env);
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name) && !isOfService(name, env[name]))
    .map((name) => {
      const meant = known.find((setting) => name === PREFIX + setting) ?? nearest(name, known);
      return `${name} is no setting of fixity.${meant === null ? "" : ` Did you mean ${meant}?`}`;
    });
}

/**
 * Kubernetes, like Docker's links, tells a container of the services beside it: of one that is called "upload", or "upload-api", in names
 * that begin like our own (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
function isOfService(name: string, value = ""): boolean {
  const ofService =
    /^UPLOAD(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
  return ofService.test(name) || (/^UPLOAD(_[A-Z0-9_]+)?_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value));
}

function checkTogether(settings: Settings): Config {
  const { tokens: listed, tokensFile, ...rest } = settings;
  checkBucket(settings);
  if (rest.downloads === "redirect" && rest.bucketName === undefined) {
    throw invalid("UPLOAD_DOWNLOADS=redirect sends readers to a bucket, but UPLOAD_BUCKET_NAME is not set.");
  }
  if (rest.minAppendSize > (rest.maxAppendSize ?? Infinity)) {
    throw invalid("UPLOAD_MIN_APPEND_SIZE is more than UPLOAD_MAX_APPEND_SIZE.");
  }
  const tokens = [...(listed ?? []), ...(tokensFile === undefined ? [] : readTokens(tokensFile))];
  if (listed !== undefined && listed.length === 0) throw invalid("UPLOAD_TOKENS holds no token.");
  for (const token of tokens) checkToken(token);
  if (tokens.length > 0 && rest.open) throw invalid("UPLOAD_OPEN=yes and tokens contradict each other: leave one out.");
  if (tokens.length === 0 && !rest.open && !isLoopbackHost(rest.host)) {
    throw invalid(
      `Without tokens anybody who reaches ${rest.host} could upload. Set UPLOAD_TOKENS, or UPLOAD_OPEN=yes if that is what you want.`,
    );
  }
  return { ...rest, tokens };
}

/** Whoever sets the region of a bucket does not mean a folder, and half a key is none. */
function checkBucket(settings: Settings): void {
  const { bucketName, bucketRegion, bucketEndpoint, bucketAccessKey, bucketSecretKey } = settings;
  if (bucketName === undefined) {
    const names = Object.keys(SETTINGS).filter((name) => name.startsWith("bucket")) as (keyof Settings)[];
    const stray = names.find((name) => SETTINGS[name].fallback === undefined && settings[name] !== undefined);
    if (stray !== undefined) throw invalid(`${SETTINGS[stray].env} is set, but UPLOAD_BUCKET_NAME is not.`);
    return;
  }
  if (bucketRegion === undefined && bucketEndpoint === undefined) {
    throw invalid("Set UPLOAD_BUCKET_REGION for a bucket at AWS, or UPLOAD_BUCKET_ENDPOINT for one elsewhere.");
  }
  if ((bucketAccessKey === undefined) !== (bucketSecretKey === undefined)) {
    throw invalid("UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY belong together: set both, or none.");
  }
}

function readTokens(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new FixityError("invalid-option", `UPLOAD_TOKENS_FILE cannot be read: ${JSON.stringify(file)}.`, { cause });
  }
  const tokens = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (tokens.length === 0) throw invalid("UPLOAD_TOKENS_FILE holds no token.");
  return tokens;
}

/** Never tells the token: a message may end in a log. */
function checkToken(token: string): void {
  if (token.length < MIN_TOKEN_LENGTH) throw invalid(`A token must have at least ${MIN_TOKEN_LENGTH} characters.`);
  // what can stand behind "Bearer" (RFC 6750, section 2.1)
  if (!/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) throw invalid("A token may hold letters, digits and -._~+/ only.");
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
