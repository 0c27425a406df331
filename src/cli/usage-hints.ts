import type { Command } from "commander";
import { flagOf, type Environment } from "../settings/config.ts";
import { SETTINGS } from "../settings/settings.ts";

/*
 * Remedies for frequent mistakes in arguments, beyond commander's own "Did you mean".
 */

/** Flags as other programs call them, and the flags of ours that are meant. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  "--root": ["--dir"],
  "--folder": ["--dir"],
  "--directory": ["--dir"],
  "--data": ["--dir"],
  "--data-dir": ["--dir"],
  "--path": ["--dir"],
  "--storage": ["--dir"],
  "--bind": ["--host"],
  "--listen": ["--host", "--port"],
  "--address": ["--host"],
  "--ip": ["--host"],
  "--bucket": ["--bucket-name"],
  "--region": ["--bucket-region"],
  "--limit": ["--max-size"],
  "--cors": ["--cors-origins"],
  "--types": ["--types"],
  "--url": ["--to", "--from"],
  "--server": ["--to", "--from", "--url"],
  "--endpoint": ["--to", "--from", "--url", "--bucket-endpoint"],
  "--host": ["--to", "--from", "--url"],
  "--to": ["--from", "--url"],
  "--from": ["--to", "--url"],
  "--out": ["--output"],
  "--overwrite": ["--force"],
  "--jobs": ["--concurrency"],
  "--parallel": ["--concurrency"],
  "--silent": ["--quiet"],
  "--filename": ["--name"],
  "--ttl": ["--expires"],
  "--expiry": ["--expires"],
};

const SECRET_FLAG = /^--(?:.*-)?(?:tokens?|secret(?:-key)?|access-key|keys?|password)$/;

/** Names of settings that npm has as well, and always sets. */
const NPM_OPTIONS: ReadonlySet<string> = new Set(["cache", "prefix"]);

/**
 * The error message of commander with a remedy for the mistake.
 *
 * @param command the one with the mistake
 */
export function withUsageHint(message: string, command: Command, env: Environment): string {
  const [, flag = null] = /unknown option '(--[^'=]+)/.exec(message) ?? [];
  if (flag !== null) return flagHint(message, flag, command);
  if (env["npm_lifecycle_event"] === "start" && /too many arguments|unknown command/.test(message)) {
    return `${message}${npmHint(env) ?? "With npm, put -- before flags: npm start -- --port 8080"}\n`;
  }
  if (/missing required argument 'file'/.test(message)) {
    return `${message.trimEnd()}: name a file, or use - for standard input\n`;
  }
  return message;
}

/**
 * What to write instead if npm has taken flags for its own (`npm start --port 8080`), which it
 * passes on as variables; `null` if it has not.
 */
export function npmHint(env: Environment): string | null {
  if (env["npm_lifecycle_event"] !== "start") return null;
  const taken = Object.keys(SETTINGS)
    .filter((name) => !NPM_OPTIONS.has(name))
    .map((name) => ({ flag: flagOf(name), value: env[`npm_config_${flagOf(name).slice(2).replaceAll("-", "_")}`] }))
    .filter(({ value }) => value !== undefined && value !== "");
  if (taken.length === 0) return null;
  // Without =, npm takes the value for an argument.
  const flags = taken.map(({ flag, value }) => (value === "true" ? `${flag} …` : `${flag} ${value}`));
  return `With npm, put -- before flags: npm start -- ${flags.join(" ")}`;
}

function flagHint(message: string, flag: string, command: Command): string {
  const known = new Set(command.options.filter(({ hidden }) => !hidden).map(({ long }) => long));
  const meant = (SYNONYMS[flag] ?? []).filter((name) => known.has(name));
  const error = message.replace(/\n\(Did you mean .*\)(?=\n)/, "");
  if (meant.length > 0) return `${error}(Did you mean ${meant.join(" or ")}?)\n`;
  if (!SECRET_FLAG.test(flag)) return message;
  const isClient = known.has("--to") || known.has("--from");
  return `${error}(Set ${isClient ? "FIXITY_TOKEN" : secretVariable(flag)}: a secret has no flag, because other users can see command lines.)\n`;
}

function secretVariable(flag: string): string {
  const [, setting] =
    Object.entries(SETTINGS).find(([name, { secret }]) => secret && [flag, `${flag}s`].includes(flagOf(name))) ?? [];
  return setting?.env ?? "a variable";
}
