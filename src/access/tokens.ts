import { hash, timingSafeEqual } from "node:crypto";
import { parseSize } from "../base/quantity.ts";
import { FixityError } from "../core/errors.ts";
import {
  type Action,
  ALL_ACTIONS,
  type Principal,
  type PrincipalLimits,
  READ_ACTIONS,
  UPLOAD_ACTIONS,
} from "./principal.ts";
import { TypeList } from "./type-list.ts";

/** Shorter secrets could be guessed. */
const SECRET_MIN_LENGTH = 16;

/**
 * An entry of the old form that ends in `=` has at least this many characters: 16 bytes in base64.
 * A shorter one is a name, which has at most 20, without its secret.
 */
const PADDED_TOKEN_MIN_LENGTH = 22;

const NAME = /^[a-z0-9-]{1,20}$/;

/** The syntax of a bearer token (RFC 6750, section 2.1): no blank, no comma, `=` at the end only. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

const SHA256_SECRET = /^sha256:([0-9a-f]{64})$/i;

/** What `may=` grants. */
const RIGHTS: Readonly<Record<string, readonly Action[]>> = {
  create: UPLOAD_ACTIONS,
  read: READ_ACTIONS,
  remove: ["remove"],
};

const GRAMMAR =
  "name=secret [may=create|remove|read] [max-size=1GiB] [types=image/*|application/pdf] [max-open=20] " +
  "[max-requests=8] [max-per-day=10GiB] [until=2027-01-31]";

interface Token {
  /** The SHA-256 of the secret. */
  readonly fingerprint: Buffer;
  readonly principal: Principal;
}

/** The tokens of a server: secrets that clients send as `Authorization: Bearer …`. */
export class TokenSet {
  /** What the operator should change. Contains no secret. */
  readonly warnings: readonly string[];
  readonly #tokens: readonly Token[];

  private constructor(tokens: readonly Token[], warnings: readonly string[]) {
    this.#tokens = tokens;
    this.warnings = warnings;
  }

  /**
   * Parses entries such as `ci=<secret> may=create|remove max-size=1GiB`. A secret of the form
   * `sha256:<hex>` is the SHA-256 of the token. An entry that is only a token, the form before
   * tokens had names, has all rights.
   *
   * @throws FixityError `invalid-option`; the message states the position of the entry and its
   *   name, and no part of a secret
   */
  static parse(entries: readonly string[]): TokenSet {
    if (entries.length === 0) throw invalid("There is no token.");
    const warnings: string[] = [];
    const tokens: Token[] = [];
    for (const [index, entry] of entries.entries()) {
      const position = `entry ${index + 1}`;
      const isOld = isOldEntry(entry.trim(), position);
      const token = isOld ? parseOldToken(entry.trim(), position) : parseToken(entry.trim(), position);
      const { name } = token.principal;
      const sameName = tokens.findIndex((other) => other.principal.name === name);
      if (sameName !== -1) throw invalid(`Two tokens, entries ${sameName + 1} and ${index + 1}, are named ${name}.`);
      const sameSecret = tokens.findIndex((other) => other.fingerprint.equals(token.fingerprint));
      if (sameSecret !== -1) {
        throw invalid(`Two tokens, entries ${sameSecret + 1} and ${index + 1}, have the same secret.`);
      }
      tokens.push(token);
      if (isOld) warnings.push(deprecation(name, position));
    }
    return new TokenSet(tokens, warnings);
  }

  /** The number of tokens. */
  get size(): number {
    return this.#tokens.length;
  }

  /** The names of all tokens, in the order of their entries. */
  get names(): readonly string[] {
    return this.#tokens.map(({ principal }) => principal.name);
  }

  /**
   * The principal of a token; `null` for a text that is none, and `expired` for one whose last day
   * is over. The time does not depend on which token it is: all entries are compared, by digests
   * of equal length.
   */
  principalOf(token: string, now: number = Date.now()): Principal | "expired" | null {
    const fingerprint = hash("sha256", token, "buffer");
    let principal: Principal | null = null;
    for (const known of this.#tokens) {
      if (timingSafeEqual(known.fingerprint, fingerprint)) principal = known.principal;
    }
    if (principal === null) return null;
    return now < (principal.limits.expires ?? Infinity) ? principal : "expired";
  }
}

/** @throws FixityError `invalid-option` for a name without a secret */
function isOldEntry(entry: string, position: string): boolean {
  if (/=[^=]/.test(entry)) return false;
  if (!entry.endsWith("=") || entry.length >= PADDED_TOKEN_MIN_LENGTH) return true;
  throw invalid(`The token in ${position} has a name and no secret. Its form is ${GRAMMAR}.`);
}

/** A token of the form before tokens had names. */
function parseOldToken(secret: string, position: string): Token {
  checkSecret(secret, position);
  const fingerprint = hash("sha256", secret, "buffer");
  const name = `token-${fingerprint.toString("hex").slice(0, 8)}`;
  return { fingerprint, principal: { kind: "token", name, may: new Set(ALL_ACTIONS), limits: {} } };
}

function parseToken(entry: string, position: string): Token {
  const [credentials = "", ...attributes] = entry.split(/[ \t]+/);
  const mark = credentials.indexOf("=");
  const name = credentials.slice(0, Math.max(mark, 0));
  // What stands before the mark is not repeated in messages before the rest has proven to be a
  // secret: it may be the secret itself.
  if (!NAME.test(name)) {
    throw invalid(
      `The token in ${position} must begin with a name of 1 to 20 lower-case letters, digits or "-", and "=". ` +
        `Its form is ${GRAMMAR}.`,
    );
  }
  const fingerprint = fingerprintOf(credentials.slice(mark + 1), position);
  return { fingerprint, principal: { kind: "token", name, ...parseAttributes(attributes, name) } };
}

/** The SHA-256 that a secret has or is. */
function fingerprintOf(secret: string, position: string): Buffer {
  const hex = SHA256_SECRET.exec(secret)?.[1];
  if (hex !== undefined) return Buffer.from(hex, "hex");
  checkSecret(secret, position);
  return hash("sha256", secret, "buffer");
}

/** @throws FixityError `invalid-option` */
function checkSecret(secret: string, position: string): void {
  if (secret.length < SECRET_MIN_LENGTH) {
    throw invalid(`The secret of the token in ${position} must have at least ${SECRET_MIN_LENGTH} characters.`);
  }
  if (!BEARER_TOKEN.test(secret)) {
    throw invalid(
      `The secret of the token in ${position} may contain only letters, digits and -._~+/, with = only at its end; ` +
        `or it is sha256:<64 hex digits>.`,
    );
  }
}

/** The rights and limits of a token. No message repeats a value, which may be a part of a secret. */
function parseAttributes(attributes: readonly string[], name: string): Pick<Principal, "may" | "limits"> {
  const values = new Map<string, string>();
  for (const attribute of attributes) {
    const [, key = "", value = ""] = /^([^=]*)=(.*)$/.exec(attribute) ?? [];
    if (!ATTRIBUTES.has(key)) {
      throw invalid(`The token ${name} has an unknown attribute; known are ${[...ATTRIBUTES].join(", ")}.`);
    }
    if (values.has(key)) throw invalid(`The token ${name} has ${key} twice.`);
    values.set(key, value);
  }
  const read = <T>(key: string, parse: (value: string) => T | null, expected: string): T | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    const parsed = parse(value);
    if (parsed === null) throw invalid(`${key} of the token ${name} must be ${expected}.`);
    return parsed;
  };
  const positiveSize = (value: string): number | null => parseSize(value) || null;
  const count = (value: string): number | null => (/^\d{1,9}$/.test(value) ? Number(value) || null : null);
  const size = "a size such as 512MiB, 5GiB or 4096";
  const groups = Object.keys(RIGHTS);
  const limits: PrincipalLimits = {
    maxSize: read("max-size", positiveSize, size),
    types: read("types", (value) => TypeList.from(value.split("|")), "types such as image/*|application/pdf|.docx"),
    maxOpen: read("max-open", count, "a whole number from 1"),
    maxRequests: read("max-requests", count, "a whole number from 1"),
    maxBytesPerDay: read("max-per-day", positiveSize, size),
    expires: read("until", endOfDay, "the last day, in UTC, such as 2027-01-31"),
  };
  const may = read("may", rightsOf, `some of ${groups.join("|")}`) ?? new Set(UPLOAD_ACTIONS);
  return { may, limits };
}

const ATTRIBUTES: ReadonlySet<string> = new Set([
  "may",
  "max-size",
  "types",
  "max-open",
  "max-requests",
  "max-per-day",
  "until",
]);

function rightsOf(value: string): ReadonlySet<Action> | null {
  const groups = value.split("|");
  if (!groups.every((group) => Object.hasOwn(RIGHTS, group))) return null;
  return new Set(groups.flatMap((group) => RIGHTS[group] ?? []));
}

/** The end of a day in UTC, in milliseconds since 1970; `null` for a day that does not exist. */
function endOfDay(day: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) return null;
  const start = new Date(`${day}T00:00:00Z`);
  // 2027-02-30 would be the 2nd of March
  if (Number.isNaN(start.getTime()) || start.toISOString().slice(0, 10) !== day) return null;
  return start.getTime() + 24 * 3_600_000;
}

function deprecation(name: string, position: string): string {
  return (
    `the token in ${position} has no name, so it may do everything; this form is deprecated. Write name=secret, with ` +
    `may=create|remove if it removes files. It is logged as ${name}`
  );
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
