import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import { TrustedProxies } from "../access/client-address.ts";
import { TypeList } from "../access/type-list.ts";
import { parseDuration, parseSize } from "../base/quantity.ts";
import { webhookUrlIn } from "../core/events/webhook.ts";
import { isOrigin } from "../http/origins.ts";
import { canonicalHost } from "../http/fields/host.ts";

/**
 * The kind of value that a setting takes: how its text is parsed, and how it is described when that
 * fails.
 */
export interface Kind<Value> {
  /** Completes the sentence "must be …". */
  readonly expected: string;
  /** The value of a text; `null` if the text is not of this kind. */
  readonly parse: (text: string) => Value | null;
}

/** One setting: its variable, the kind of its value, and its help. */
export interface Setting<Value> {
  readonly env: string;
  /**
   * A secret has no flag, because other users of the machine can read the arguments of a process.
   */
  readonly secret?: boolean;
  readonly kind: Kind<NonNullable<Value>>;
  /** The default as a user would write it; without one, the setting is unset by default. */
  readonly defaultText?: string;
  /** The placeholder of the value in `--help`. */
  readonly value: string;
  readonly help: string;
}

/** The longest delay of a Node timer; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const WEEK_MS = 604_800_000;

/** Any text that is not blank. */
export const text: Kind<string> = { expected: "a text that is not empty", parse: (given) => given.trim() || null };

/** One of a few words, in any case. */
export function choice<const Word extends string>(...words: readonly Word[]): Kind<Word> {
  return {
    expected: `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
    parse: (given) => words.find((word) => word === given.trim().toLowerCase()) ?? null,
  };
}

export const yesNo: Kind<boolean> = {
  expected: "yes or no",
  parse: (given) => ({ yes: true, no: false })[given.trim().toLowerCase()] ?? null,
};

/** Bytes; may be zero. */
export const size: Kind<number> = { expected: "a size such as 512MiB, 5GiB or 4096", parse: parseSize };

/** Bytes, at least one. */
export const positiveSize: Kind<number> = { ...size, parse: (given) => parseSize(given) || null };

/** A whole number, at least one. */
export const count: Kind<number> = {
  expected: "a whole number from 1",
  parse: (given) => (/^\d{1,9}$/.test(given.trim()) ? Number(given) || null : null),
};

/** Milliseconds; may be zero. */
export const duration: Kind<number> = {
  expected: "a duration such as 500ms, 60s or 5m, and at most 24d",
  parse: (given) => {
    const ms = parseDuration(given);
    return ms === null || ms > TIMER_MAX_MS ? null : ms;
  },
};

/** Milliseconds, at least one. */
export const positiveDuration: Kind<number> = { ...duration, parse: (given) => duration.parse(given) || null };

/** Milliseconds, for comparisons of times: no timer bounds it. */
export const age: Kind<number> = { expected: "a duration such as 12h, 7d or 90m", parse: parseDuration };

/** How many things are done at the same time. */
export const concurrency: Kind<number> = {
  expected: "a whole number from 1 to 256",
  parse: (given) => {
    const value = count.parse(given);
    return value !== null && value <= 256 ? value : null;
  },
};

/** A number of processes; `auto` for one on each processor that this process may use. */
export const workerCount: Kind<number> = {
  expected: "a whole number from 1 to 256, or auto",
  parse: (given) => (given.trim().toLowerCase() === "auto" ? availableParallelism() : concurrency.parse(given)),
};

/** Milliseconds that a presigned URL is valid for: S3 counts whole seconds, up to one week. */
export const urlLifetime: Kind<number> = {
  expected: "a duration from 1s to 7d, in whole seconds",
  parse: (given) => {
    const ms = parseDuration(given);
    return ms !== null && ms >= 1000 && ms <= WEEK_MS && ms % 1000 === 0 ? ms : null;
  },
};

export const port: Kind<number> = {
  expected: "a port from 0 to 65535",
  parse: (given) => (/^\d{1,5}$/.test(given.trim()) && Number(given) < 65_536 ? Number(given) : null),
};

export const host: Kind<string> = {
  expected: "an address or a host name",
  parse: (given) => {
    const name = given.trim().toLowerCase();
    return isIP(name) !== 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name) ? name : null;
  },
};

/** A group of users, by name or number. */
export const groupName: Kind<string> = {
  expected: "the name or the number of a group",
  parse: (given) => (/^(\d{1,9}|[A-Za-z_][\w.@-]{0,31}\$?)$/.test(given.trim()) ? given.trim() : null),
};

/** The path that all links start with. */
export const path: Kind<string> = {
  expected: "a path such as /uploads, without a slash at its end",
  parse: (given) => (/^(\/(?!\.{1,2}(\/|$))[\w.~-]+)+$/.test(given.trim()) ? given.trim() : null),
};

/** An http(s) URL without credentials, query or fragment. */
export const url: Kind<string> = {
  expected: "a URL such as https://files.example.com, without user, query or fragment",
  parse: (given) => {
    const parsed = URL.parse(given.trim());
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) return null;
    return parsed.username + parsed.password + parsed.search + parsed.hash === "" ? parsed.href : null;
  },
};

/** An http(s) URL that may have a query; normalised. */
export const webhookUrl: Kind<string> = {
  expected: "an http or https URL without user and fragment",
  parse: (given) => webhookUrlIn(given)?.href ?? null,
};

/** Words separated by white space; may be none. */
export const wordsBetweenSpaces: Kind<readonly string[]> = {
  expected: "words separated by spaces",
  parse: (given) => given.split(/\s+/).filter((word) => word !== ""),
};

/** The http(s) URL of an S3 server. `minio:9000`, a host without a scheme, means https. */
export const endpoint: Kind<string> = {
  expected: "a URL such as https://s3.example.com, without user, query or fragment",
  parse: (given) => {
    const trimmed = given.trim();
    return url.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`);
  },
};

/** Hosts as in a URL, without scheme and port, in the canonical form that browsers send. */
export const hosts: Kind<readonly string[]> = {
  expected: "host names such as files.example.com, separated by commas, without scheme, port or wildcard",
  parse: (given) => {
    const named = words(given).map((word) => (/^(?:[^:*%]+|\[[^\]]*\])$/.test(word) ? canonicalHost(word) : null));
    return named.length > 0 && named.every((host) => host !== null) ? named : null;
  },
};

/** Words separated by commas; may be none. */
export const list: Kind<readonly string[]> = { expected: "words separated by commas", parse: words };

/** Types of files. */
export const types: Kind<TypeList> = {
  expected: "types such as image/*, application/pdf or .docx, separated by commas",
  // A bar separates them in the entry of a token.
  parse: (given) => TypeList.from(words(given.replaceAll("|", ","))),
};

/** IP addresses and CIDR ranges. */
export const addressRanges: Kind<readonly string[]> = {
  expected: "addresses or ranges such as 10.0.0.0/8, separated by commas",
  parse: (given) => {
    const ranges = words(given);
    return ranges.length > 0 && ranges.every(TrustedProxies.isRange) ? ranges : null;
  },
};

/** Origins of pages as browsers send them, or `*` for all. */
export const origins: Kind<"*" | readonly string[]> = {
  expected:
    "origins such as https://app.example.com (scheme and host, no path, no wildcard), separated by commas, or *",
  parse: (given) => {
    const named = words(given);
    if (named.length === 1 && named[0] === "*") return "*";
    return named.length > 0 && named.every(isOrigin) ? named : null;
  },
};

function words(given: string): readonly string[] {
  return given
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}
