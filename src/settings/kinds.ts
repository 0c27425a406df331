import { isIP } from "node:net";
import { TrustedProxies } from "../access/client-address.ts";
import { canonicalHost } from "../http/fields/host.ts";
import { isOrigin } from "../http/cors.ts";
import { parseDuration, parseSize } from "./units.ts";

/** A kind of value that a setting can have. */
export interface Kind<Value> {
  /** What a text must be, to stand behind "must be". */
  readonly expected: string;
  /** The value of a text, or `null` where it is none of this kind. */
  readonly parse: (text: string) => Value | null;
}

/** The longest time that a timer can run; a longer one would end at once. */
const MAX_DURATION = 2 ** 31 - 1;

/** Any text but an empty one. */
export const text: Kind<string> = { expected: "a text that is not empty", parse: (given) => given.trim() || null };

/** One of a few words. */
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

/** Bytes, none included. */
export const size: Kind<number> = { expected: "a size such as 512MiB, 5GiB or 4096", parse: parseSize };

/** Bytes, at least one. */
export const someSize: Kind<number> = { ...size, parse: (given) => parseSize(given) || null };

/** How many, at least one. */
export const count: Kind<number> = {
  expected: "a whole number from 1",
  parse: (given) => (/^\d{1,9}$/.test(given.trim()) ? Number(given) || null : null),
};

/** Milliseconds, none included. */
export const duration: Kind<number> = {
  expected: "a duration such as 500ms, 60s or 5m, and at most 24d",
  parse: (given) => {
    const time = parseDuration(given);
    return time === null || time > MAX_DURATION ? null : time;
  },
};

/** Milliseconds, at least one. */
export const someDuration: Kind<number> = { ...duration, parse: (given) => duration.parse(given) || null };

/** Milliseconds for which a presigned URL can hold: S3 counts in seconds, and up to a week. */
export const urlLifetime: Kind<number> = {
  expected: "a duration from 1s to 7d, in whole seconds",
  parse: (given) => {
    const time = parseDuration(given);
    return time !== null && time >= 1000 && time <= 604_800_000 && time % 1000 === 0 ? time : null;
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

/** A group of users, by its name or its number. */
export const groupName: Kind<string> = {
  expected: "the name or the number of a group",
  parse: (given) => (/^(\d{1,9}|[A-Za-z_][\w.@-]{0,31}\$?)$/.test(given.trim()) ? given.trim() : null),
};

/** The path that all links share. */
export const path: Kind<string> = {
  expected: "a path such as /uploads, without a slash at its end",
  parse: (given) => (/^(\/(?!\.{1,2}(\/|$))[\w.~-]+)+$/.test(given.trim()) ? given.trim() : null),
};

/** An http(s) URL that nothing secret or variable stands in. */
export const url: Kind<string> = {
  expected: "a URL such as https://files.example.com, without user, query or fragment",
  parse: (given) => {
    const parsed = URL.parse(given.trim());
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) return null;
    return parsed.username + parsed.password + parsed.search + parsed.hash === "" ? parsed.href : null;
  },
};

/** An http(s) URL of an S3 server. Without a scheme it is a host and perhaps a port, as in `minio:9000`, over https. */
export const endpoint: Kind<string> = {
  expected: "a URL such as https://s3.example.com, without user, query or fragment",
  parse: (given) => {
    const trimmed = given.trim();
    return url.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`);
  },
};

/** Hosts as they stand in a URL, without scheme and port, in the form in which browsers write them. */
export const hosts: Kind<readonly string[]> = {
  expected: "host names such as files.example.com, with commas between them, without scheme, port or wildcard",
  parse: (given) => {
    const named = words(given).map((word) => (/^(?:[^:*%]+|\[[^\]]*\])$/.test(word) ? canonicalHost(word) : null));
    return named.length > 0 && named.every((host) => host !== null) ? named : null;
  },
};

/** Words separated by commas; there may be none. */
export const list: Kind<readonly string[]> = { expected: "words with commas between them", parse: words };

/** Addresses and CIDR ranges. */
export const addressRanges: Kind<readonly string[]> = {
  expected: "addresses or ranges such as 10.0.0.0/8, with commas between them",
  parse: (given) => {
    const ranges = words(given);
    return ranges.length > 0 && ranges.every(TrustedProxies.isRange) ? ranges : null;
  },
};

/** Origins of pages, as browsers send them, or all of them. */
export const origins: Kind<"*" | readonly string[]> = {
  expected:
    "origins such as https://app.example.com (scheme and host, no path, no wildcard), with commas between them, or *",
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
