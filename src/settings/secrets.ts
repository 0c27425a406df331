import { readFileSync } from "node:fs";
import { AccessKeys, type KeyPurpose } from "../access/access-keys.ts";
import { TokenSet } from "../access/tokens.ts";
import { printable } from "../base/printable.ts";
import { FixityError } from "../core/errors.ts";
import { parseWebhookSecrets } from "../core/events/webhook.ts";
import { SETTINGS, type Settings } from "./settings.ts";

/** What a server knows its callers by. All of it can be read again while the server runs. */
export interface Secrets {
  /** `null` if no token is configured. */
  readonly tokens: TokenSet | null;
  /** Keys that sign permits, the first one first; `null` for none. */
  readonly permitKeys: readonly string[] | null;
  /** Keys that sign links, as `permitKeys`. */
  readonly linkKeys: readonly string[] | null;
  /** Secrets that sign events; `null` for none. */
  readonly webhookSecret: readonly string[] | null;
  /** Whether a part of them comes from files. */
  readonly areInFiles: boolean;
}

/** The settings of one kind of secrets: the list itself, and the file that has one per line. */
type Sources = readonly [
  list: "tokens" | "permitKeys" | "linkKeys" | "webhookSecret",
  file: "tokensFile" | "permitKeysFile" | "linkKeysFile" | "webhookSecretFile",
];

type KeySettings = Pick<Settings, "permitKeys" | "permitKeysFile" | "linkKeys" | "linkKeysFile">;

const NO_KEYS: KeySettings = {
  permitKeys: undefined,
  permitKeysFile: undefined,
  linkKeys: undefined,
  linkKeysFile: undefined,
};

/** Where a command finds keys. */
export interface KeySources {
  readonly file: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const TOKENS: Sources = ["tokens", "tokensFile"];
const WEBHOOK_SECRET: Sources = ["webhookSecret", "webhookSecretFile"];
const KEYS = {
  permit: ["permitKeys", "permitKeysFile"],
  link: ["linkKeys", "linkKeysFile"],
} as const satisfies Readonly<Record<KeyPurpose, Sources>>;

/**
 * Reads the secrets of a server, from its settings and the files that these name.
 *
 * @throws FixityError `invalid-option`; the message names the setting, and contains no secret
 */
export function readSecrets(settings: Settings): Secrets {
  const [entries, source] = textsOf(settings, TOKENS);
  const tokens = entries === null ? null : withSource(source, () => TokenSet.parse(entries));
  const [webhookSecret, webhookSource] = textsOf(settings, WEBHOOK_SECRET);
  if (webhookSecret !== null) withSource(webhookSource, () => parseWebhookSecrets(webhookSecret));
  return {
    tokens,
    webhookSecret,
    permitKeys: keysOf(settings, "permit"),
    linkKeys: keysOf(settings, "link"),
    areInFiles: [TOKENS, KEYS.permit, KEYS.link, WEBHOOK_SECRET].some(([, file]) => settings[file] !== undefined),
  };
}

/**
 * The keys that a command signs with: those of a file, or those that a server would use.
 *
 * @param file from a flag
 * @throws FixityError `invalid-option`
 */
export function readKeys(purpose: KeyPurpose, { file, env }: KeySources): AccessKeys {
  const [listSetting, fileSetting] = KEYS[purpose];
  const listed = env[SETTINGS[listSetting].env] || undefined;
  const texts =
    file === undefined
      ? keysOf(
          {
            ...NO_KEYS,
            [listSetting]: listed === undefined ? undefined : (SETTINGS[listSetting].kind.parse(listed) ?? undefined),
            [fileSetting]: env[SETTINGS[fileSetting].env] || undefined,
          },
          purpose,
        )
      : readLines(file, "--keys-file");
  if (texts === null) {
    throw invalid(
      `There are no keys to sign with. Set ${SETTINGS[listSetting].env} or ${SETTINGS[fileSetting].env} as the server has it, ` +
        `or name a file with --keys-file.`,
    );
  }
  return withSource(file === undefined ? "Keys" : "--keys-file", () => AccessKeys.parse(texts, purpose));
}

/** The keys of a bucket, as a store takes them. */
export type BucketKeys = Pick<Settings, "bucketAccessKey" | "bucketSecretKey" | "bucketSessionToken">;

/**
 * The keys of a bucket, each from its variable or from its file. They are read at the start only.
 *
 * @throws FixityError `invalid-option`; the message names the setting, and contains no secret
 */
export function readBucketKeys(settings: Settings): BucketKeys {
  const keyOf = (name: keyof BucketKeys): string | undefined => {
    const path = settings[`${name}File`];
    if (path === undefined) return settings[name];
    const [key, file] = [SETTINGS[name].env, SETTINGS[`${name}File`].env];
    if (settings[name] !== undefined) throw invalid(`${key} and ${file} are both set: remove one of them.`);
    const [text, ...others] = readLines(path, file);
    if (others.length > 0) throw invalid(`${file}=${printable(path)} must contain one line.`);
    return text;
  };
  return {
    bucketAccessKey: keyOf("bucketAccessKey"),
    bucketSecretKey: keyOf("bucketSecretKey"),
    bucketSessionToken: keyOf("bucketSessionToken"),
  };
}

function keysOf(settings: KeySettings, purpose: KeyPurpose): readonly string[] | null {
  const [texts, source] = textsOf(settings, KEYS[purpose]);
  if (texts !== null) withSource(source, () => AccessKeys.parse(texts, purpose));
  return texts;
}

/** The texts of a list and of a file, and the names of the settings that are set. */
function textsOf(
  settings: Partial<Settings>,
  [list, file]: Sources,
): [texts: readonly string[] | null, source: string] {
  const texts: string[] = [];
  const sources: string[] = [];
  const listed = settings[list];
  if (listed !== undefined) {
    const name = SETTINGS[list].env;
    if (listed.length === 0) throw invalid(`${name} contains nothing.`);
    texts.push(...listed);
    sources.push(name);
  }
  const path = settings[file];
  if (path !== undefined) {
    texts.push(...readLines(path, SETTINGS[file].env));
    sources.push(SETTINGS[file].env);
  }
  return [sources.length === 0 ? null : texts, sources.join(" and ")];
}

/** The lines of a file, without empty ones and comments. */
function readLines(file: string, setting: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? ` (${printable(cause.message)})` : "";
    throw invalid(`Cannot read ${setting}=${printable(file)}${reason}.`, cause);
  }
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0) throw invalid(`${setting}=${printable(file)} contains nothing: write one entry per line.`);
  return lines;
}

function withSource<Value>(source: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw error instanceof FixityError ? invalid(`${source}: ${error.message}`, error) : error;
  }
}

function invalid(message: string, cause?: unknown): FixityError {
  return new FixityError("invalid-option", message, { cause });
}
