import { detachedString } from "../base/detached-string.ts";
import { percentEncode } from "../base/percent-encode.ts";
import { FixityError } from "../core/errors.ts";
import { cleanFileName } from "../core/file-name.ts";
import type { Link } from "../core/link.ts";
import { AccessKeys } from "./access-keys.ts";

/** Longer queries are not parsed: a name of 255 characters is at most 2295 when it is encoded. */
const QUERY_MAX_LENGTH = 3072;

/** The parameters in their order. Every part that varies is verified by building the text again. */
const QUERY =
  /^(download&)?(?:filename=([A-Za-z0-9\-._~%]+)&)?(view&)?expires=(\d{1,11})&key=([A-Za-z0-9_-]{6})&signature=([A-Za-z0-9_-]+)$/;

/** Verified links that are remembered: at most 2 MiB of text. */
const REMEMBERED_LINKS = 4096;
const REMEMBERED_MAX_LENGTH = 512;

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Between two expiries that {@link roundedExpiry} returns. */
const EXPIRY_STEPS_MS: readonly number[] = [
  24 * HOUR_MS,
  6 * HOUR_MS,
  HOUR_MS,
  15 * MINUTE_MS,
  5 * MINUTE_MS,
  MINUTE_MS,
  10 * SECOND_MS,
  SECOND_MS,
];

/** What a signed link allows besides reading its blob. */
export interface LinkTerms {
  /** The name under which the file is saved; cleaned as names of uploads are. `null` for none. */
  readonly filename?: string | null | undefined;
  /** Whether browsers save the file instead of displaying it. @default false */
  readonly download?: boolean | undefined;
  /** Whether the link shows the page about the file. @default false */
  readonly view?: boolean | undefined;
}

/** Options of `Fixity.sign`. */
export interface SignOptions extends LinkTerms {
  /**
   * When the link expires: a time; or milliseconds from now, which are rounded up, by at most a
   * quarter, so that links signed one after another are equal.
   */
  readonly expires: Date | number;
}

/** A link whose signature is valid. */
export interface VerifiedLink {
  /** In milliseconds since 1970. */
  readonly expires: number;
  readonly filename: string | null;
  readonly download: boolean;
  readonly view: boolean;
}

/**
 * Signs links, and verifies them:
 *
 *     <link>?[download&][filename=<name>&][view&]expires=<seconds>&key=<id>&signature=<MAC>
 *
 * The MAC covers the digest, the extension and the whole query before it. There is one valid
 * spelling of a query: another order, encoding or case, a parameter that is missing, unknown or
 * given twice make it invalid.
 */
export class LinkSigner {
  #keys: AccessKeys;
  /**
   * Valid links that were verified lately, by their whole text: the pictures of a page are asked for
   * by everybody who sees it. Whether they have expired is checked each time.
   */
  readonly #verified = new Map<string, VerifiedLink>();

  /** @param keys for the purpose `link` */
  constructor(keys: AccessKeys) {
    this.#keys = keys;
  }

  /**
   * Signs and verifies with these keys from now on.
   *
   * @param texts as in `FixityOptions.linkKeys`
   * @throws FixityError `invalid-option`; the keys stay as they were
   */
  replaceKeys(texts: readonly string[]): void {
    this.#keys = AccessKeys.parse(texts, "link");
    this.#verified.clear();
  }

  /**
   * The query of a signed link, without `?`.
   *
   * @param terms `expires` in milliseconds since 1970, rounded up to whole seconds
   * @throws FixityError `invalid-option`
   */
  sign(link: Link, { expires, ...terms }: LinkTerms & { readonly expires: number }): string {
    const seconds = Math.ceil(expires / SECOND_MS);
    if (!(seconds >= 0 && seconds < 1e11)) throw invalid("expires must be a time in milliseconds since 1970.");
    const filename = terms.filename ?? null;
    const cleaned = cleanFileName(filename);
    if (filename !== null && cleaned === null) throw invalid("filename has no visible character.");
    const facts = { ...terms, filename: cleaned };
    const signed = signedQuery(facts, seconds, this.#keys.keyId);
    return `${signed}&signature=${this.#keys.sign(signedText(link, signed)).mac}`;
  }

  /**
   * What the query of a link allows; `expired` if the signature is valid and its time over,
   * `invalid` for any text that {@link sign} does not make for this link.
   *
   * @param query without `?`, as received
   */
  verify(link: Link, query: string, now: number = Date.now()): VerifiedLink | "expired" | "invalid" {
    const text = `${link.toString()}?${query}`;
    const verified = this.#verified.get(text) ?? this.#verify(link, query);
    if (verified === null) return "invalid";
    if (now >= verified.expires) return "expired";
    this.#remember(text, verified);
    return verified;
  }

  #verify(link: Link, query: string): VerifiedLink | null {
    const match = query.length <= QUERY_MAX_LENGTH ? QUERY.exec(query) : null;
    if (match === null) return null;
    const [, download, encodedName, view, seconds = "", keyId = "", mac = ""] = match;
    const filename = encodedName === undefined ? null : decoded(encodedName);
    if (encodedName !== undefined && filename === null) return null;
    const facts = { filename, download: download !== undefined, view: view !== undefined };
    const signed = signedQuery(facts, Number(seconds), keyId);
    if (`${signed}&signature=${mac}` !== query) return null;
    if (!this.#keys.verify(keyId, signedText(link, signed), mac)) return null;
    return { expires: Number(seconds) * SECOND_MS, ...facts };
  }

  #remember(text: string, verified: VerifiedLink): void {
    if (text.length > REMEMBERED_MAX_LENGTH || this.#verified.has(text)) return;
    if (this.#verified.size >= REMEMBERED_LINKS) this.#verified.clear();
    this.#verified.set(detachedString(text), verified);
  }
}

/**
 * The end of a lifetime that begins now, rounded up, so that links signed one after another are
 * equal and caches can use them: to the largest step that is at most a quarter of the lifetime, one
 * of 1 s, 10 s, 1 min, 5 min, 15 min, 1 h, 6 h and 1 d.
 *
 * @returns milliseconds since 1970
 */
export function roundedExpiry(lifetimeMs: number, now: number = Date.now()): number {
  const step = EXPIRY_STEPS_MS.find((step) => step <= lifetimeMs / 4) ?? SECOND_MS;
  return Math.ceil((now + lifetimeMs) / step) * step;
}

/**
 * The query that makes a link readable until it expires.
 *
 * @param signer `null` in a service without keys for links
 * @throws FixityError `invalid-option`
 */
export function signedQueryOf(link: Link, signer: LinkSigner | null, { expires, ...terms }: SignOptions): string {
  if (signer === null) throw invalid("The service has no linkKeys, so it cannot sign links.");
  const now = Date.now();
  const time = typeof expires === "number" ? roundedExpiry(expires, now) : expires.getTime();
  if (!(time > now) || (typeof expires === "number" && !(expires > 0))) {
    throw invalid("expires must be a time or a number of milliseconds in the future.");
  }
  return signer.sign(link, { ...terms, expires: time });
}

/** The query up to its signature. */
function signedQuery({ filename, download, view }: LinkTerms, seconds: number, keyId: string): string {
  const name = filename === null || filename === undefined ? "" : `filename=${percentEncode(filename)}&`;
  return `${download === true ? "download&" : ""}${name}${view === true ? "view&" : ""}expires=${seconds}&key=${keyId}`;
}

/** What the MAC covers. Neither a link nor a query contains a line feed. */
function signedText(link: Link, signed: string): string {
  return `${link.toString()}\n${signed}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
