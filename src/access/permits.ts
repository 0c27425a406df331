/**
 * Permits: strings that let their bearer upload, within limits, until they expire. An app mints one
 * for its browser, a partner or an agent.
 *
 *     fxp1.<base64url of JSON>.<base64url of an HMAC over what precedes it>
 *
 * There is no list of valid permits: the MAC proves that the service, or somebody with its key,
 * minted it. Removing the key revokes all permits it signed.
 *
 * A permit with `once` is redeemed before the first byte of its upload, by a document that is written
 * only if it is absent, so of several requests, on any instance, one succeeds. The document is
 * removed by whoever wrote it if nothing was stored, and otherwise by a collection, a day after the
 * permit has expired. A crash between the two leaves the permit used.
 */
import { hash, randomBytes } from "node:crypto";
import { printable } from "../base/printable.ts";
import { Digest } from "../core/digest.ts";
import type { DocumentStore } from "../core/document-store.ts";
import { FixityError } from "../core/errors.ts";
import { AccessKeys } from "./access-keys.ts";
import { type Action, type Principal, PRINCIPAL_NAME_MAX_LENGTH, UPLOAD_ACTIONS } from "./principal.ts";
import { TypeList } from "./type-list.ts";

/** Longer texts are no permits. */
const PERMIT_MAX_LENGTH = 2048;

const PERMIT = /^(fxp1\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]+)$/;

const DAY_MS = 24 * 3_600_000;

const LIFETIME_MAX_MS = 366 * DAY_MS;

const ID_BYTES = 9;

const COLLECTION = "permits/";

/**
 * How long the redemption of an expired permit is kept: an instance whose clock is late still
 * accepts the permit.
 */
const REDEMPTION_GRACE_MS = DAY_MS;

const UPLOADS: ReadonlySet<Action> = new Set(UPLOAD_ACTIONS);

/** What a permit allows. At least one of `digest` and `maxSize` is required. */
export interface PermitTerms {
  /** The only content that may be uploaded. */
  readonly digest?: Digest | undefined;
  /** The largest size of a file, in bytes. */
  readonly maxSize?: number | undefined;
  /** The types of files that may be uploaded, such as `image/*`, `application/pdf` and `.docx`. */
  readonly types?: readonly string[] | undefined;
  /**
   * The name of the principal, such as the app's id of its user. A later permit with the same name
   * continues the uploads of this one, so use different names for different users.
   *
   * @default one that no other permit has
   */
  readonly name?: string | undefined;
  /**
   * When the permit expires: a time, or milliseconds from now; at most 366 days from now. Rounded up
   * to whole seconds.
   */
  readonly expires: Date | number;
  /** Whether it allows one upload only. @default false */
  readonly once?: boolean | undefined;
}

/** A permit that was minted, and all that it says. */
export interface MintedPermit {
  /** What its bearer sends as `Authorization: Bearer …`. */
  readonly permit: string;
  /** The only content that may be uploaded, or `null` for any. */
  readonly digest: Digest | null;
  /** The largest size of a file, in bytes, or `null` for the limit of the service. */
  readonly maxSize: number | null;
  /** The types of files that may be uploaded, or `null` for all. */
  readonly types: readonly string[] | null;
  /** The name of the principal. */
  readonly name: string;
  /** When the permit ends, in whole seconds. */
  readonly expires: Date;
  /** Whether it allows one upload only. */
  readonly once: boolean;
}

/** A permit, and how to use it: all that its bearer needs to know. */
export interface Permit extends MintedPermit {
  /** Where to send the file: absolute if the service has a `publicUrl`, otherwise a path. */
  readonly url: string;
  /** The method of the request. */
  readonly method: "POST";
  /** The fields that the request needs. */
  readonly headers: { readonly Authorization: string };
}

/** What identifies a permit. */
export interface PermitIdentity {
  /** 12 characters of base64url. Grants nothing by itself. */
  readonly id: string;
  readonly once: boolean;
  /** In milliseconds since 1970. */
  readonly expires: number;
}

/** The principal of a request with a permit. */
export interface PermitPrincipal extends Principal {
  readonly permit: PermitIdentity;
}

/** The content of a permit, in the order of its canonical form. */
interface Payload {
  readonly digest?: string | undefined;
  readonly maxSize?: number | undefined;
  readonly types?: readonly string[] | undefined;
  /** Absent for the default, which follows from the id. */
  readonly name?: string | undefined;
  /** Seconds since 1970. */
  readonly expires: number;
  readonly once?: true | undefined;
  readonly id: string;
  readonly key: string;
}

/** Mints and verifies permits. */
export class Permits {
  #keys: AccessKeys;

  /** @param keys for the purpose `permit` */
  constructor(keys: AccessKeys) {
    this.#keys = keys;
  }

  /**
   * Signs and verifies with these keys from now on. Uploads that have begun continue only while
   * their permit verifies.
   *
   * @param texts as in `FixityOptions.permitKeys`
   * @throws FixityError `invalid-option`; the keys stay as they were
   */
  replaceKeys(texts: readonly string[]): void {
    this.#keys = AccessKeys.parse(texts, "permit");
  }

  /** @throws FixityError `invalid-option` */
  mint(terms: PermitTerms, now: number = Date.now()): MintedPermit {
    const { digest, maxSize, name, once = false } = terms;
    if (digest === undefined && maxSize === undefined) {
      throw invalid("A permit needs a digest or a maxSize, so that it does not allow files of any size.");
    }
    if (maxSize !== undefined && !isSize(maxSize)) throw invalid("maxSize must be a whole number of bytes.");
    if (name !== undefined && !isName(name)) {
      throw invalid(`name must have 1 to ${PRINCIPAL_NAME_MAX_LENGTH} characters, without control characters.`);
    }
    const types = terms.types === undefined ? undefined : TypeList.parse(terms.types).toJSON();
    const expires = expiryOf(terms.expires, now);
    const id = randomBytes(ID_BYTES).toString("base64url");
    const signed = signedText({
      digest: digest?.hex,
      maxSize,
      types,
      name,
      expires: expires / 1000,
      once: once || undefined,
      id,
      key: this.#keys.keyId,
    });
    const permit = `${signed}.${this.#keys.sign(signed).mac}`;
    if (permit.length > PERMIT_MAX_LENGTH) throw invalid("The permit would be too long: shorten types or name.");
    return {
      permit,
      digest: digest ?? null,
      maxSize: maxSize ?? null,
      types: types ?? null,
      name: name ?? defaultName(id),
      expires: new Date(expires),
      once,
    };
  }

  /**
   * The principal of a permit; `null` for a text that is none, and `expired` for a genuine one whose
   * time is over. Only the exact text that {@link mint} makes is a permit.
   */
  principalOf(text: string, now: number = Date.now()): PermitPrincipal | "expired" | null {
    const match = text.length <= PERMIT_MAX_LENGTH ? PERMIT.exec(text) : null;
    if (match === null) return null;
    const [, signed = "", encoded = "", mac = ""] = match;
    const payload = payloadOf(encoded);
    if (payload === null || !this.#keys.verify(payload.key, signed, mac)) return null;
    const { digest, maxSize, types, id, once = false } = payload;
    // The MAC proves who minted it. The content is checked in case that was another program.
    const typeList = types === undefined ? undefined : TypeList.from(types);
    if (typeList === null || signedText(payload) !== signed) return null;
    const expires = payload.expires * 1000;
    if (now >= expires) return "expired";
    return {
      kind: "permit",
      name: payload.name ?? defaultName(id),
      may: UPLOADS,
      limits: {
        maxSize,
        types: typeList,
        digest: digest === undefined ? undefined : (Digest.fromHex(digest) ?? undefined),
        expires,
      },
      permit: { id, once, expires },
    };
  }

  /**
   * Uses up a permit with `once`. To be called before the first byte of its upload is stored.
   *
   * @param documents of the store; `undefined` for a store without any
   * @throws FixityError `permit-used`; `store-misconfigured` if the store cannot exclude that two
   *   requests use the permit; or a `store-…` code
   */
  async redeem(documents: DocumentStore | undefined, permit: PermitIdentity): Promise<Redemption> {
    const name = redemptionName(permit);
    if (documents === undefined || !documents.isConditional) throw cannotRedeem(documents);
    const tag = await documents.write(name, "{}", { ifAbsent: true });
    if (tag === null) {
      throw new FixityError(
        "permit-used",
        "This permit allowed one upload, and it has been used. Ask for another one.",
      );
    }
    const redemption = new Redemption(documents, name, tag);
    // Some buckets ignore conditions, which may show only now.
    if (documents.isConditional) return redemption;
    await redemption.undo();
    throw cannotRedeem(documents);
  }

  /**
   * Removes the redemptions of permits that have expired for a day. Reads names only.
   *
   * @throws FixityError a `store-…` code, the first failure once all have been tried; or the reason
   *   of the signal
   */
  async collectRedemptions(documents: DocumentStore, signal?: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    for await (const { name } of documents.list(COLLECTION, signal)) {
      signal?.throwIfAborted();
      if (!isExpiredRedemption(name, Date.now())) continue;
      await documents.remove(name).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** A permit that was used by one request. Made by {@link Permits.redeem}. */
export class Redemption {
  readonly #documents: DocumentStore;
  readonly #name: string;
  readonly #tag: string;

  constructor(documents: DocumentStore, name: string, tag: string) {
    this.#documents = documents;
    this.#name = name;
    this.#tag = tag;
  }

  /**
   * Makes the permit usable again. To be called if nothing of its upload is stored. Idempotent.
   *
   * @throws FixityError a `store-…` code; the permit stays used then
   */
  async undo(): Promise<void> {
    await this.#documents.remove(this.#name, this.#tag);
  }
}

/**
 * A permit for the uploads at a URL.
 *
 * @param permits `null` in a service without keys for permits
 * @throws FixityError `invalid-option`
 */
export function permitFor(url: string, permits: Permits | null, terms: PermitTerms): Permit {
  if (permits === null) throw invalid("The service has no permitKeys, so it cannot mint permits.");
  const minted = permits.mint(terms);
  return { ...minted, url, method: "POST", headers: { Authorization: `Bearer ${minted.permit}` } };
}

/** The name of the document that marks a permit as used. */
export function redemptionName({ id, expires }: PermitIdentity): string {
  return `${COLLECTION}${Math.ceil(expires / 1000).toString(36)}-${hash("sha256", id)}`;
}

/** Whether a redemption is no longer needed: no instance accepts its permit any more. */
export function isExpiredRedemption(name: string, now: number): boolean {
  const seconds = /^permits\/([0-9a-z]{1,10})-[0-9a-f]{64}$/.exec(name)?.[1];
  return seconds !== undefined && Number.parseInt(seconds, 36) * 1000 + REDEMPTION_GRACE_MS <= now;
}

/** What the MAC covers: the members in their order, without those that are undefined and others. */
function signedText({ digest, maxSize, types, name, expires, once, id, key }: Payload): string {
  const json = JSON.stringify({ digest, maxSize, types, name, expires, once, id, key });
  return `fxp1.${Buffer.from(json).toString("base64url")}`;
}

/** The content of a permit, if each member has its type; `null` otherwise. */
function payloadOf(encoded: string): Payload | null {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(encoded, "base64url").toString());
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { digest, maxSize, types, name, expires, once, id, key } = value as Partial<Record<keyof Payload, unknown>>;
  const isValid =
    (digest === undefined || (typeof digest === "string" && Digest.fromHex(digest) !== null)) &&
    (maxSize === undefined || isSize(maxSize)) &&
    (digest !== undefined || maxSize !== undefined) &&
    (types === undefined || (Array.isArray(types) && types.every((type) => typeof type === "string"))) &&
    (name === undefined || isName(name)) &&
    isSize(expires) &&
    (once === undefined || once === true) &&
    typeof id === "string" &&
    /^[A-Za-z0-9_-]{12}$/.test(id) &&
    typeof key === "string";
  return isValid ? (value as Payload) : null;
}

/** A whole number of bytes or seconds. */
function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether a text can name a principal: it is shown in logs. */
function isName(value: unknown): value is string {
  if (typeof value !== "string" || value.length > PRINCIPAL_NAME_MAX_LENGTH) return false;
  return value.trim() !== "" && value.isWellFormed() && printable(value) === value;
}

function defaultName(id: string): string {
  return `permit-${id}`;
}

/** The end of a permit, in milliseconds since 1970, rounded up to whole seconds. */
function expiryOf(expires: Date | number, now: number): number {
  const time = typeof expires === "number" ? now + expires : expires.getTime();
  if (!(time > now && time <= now + LIFETIME_MAX_MS)) {
    throw invalid("expires must be a time or a number of milliseconds, in the future and at most 366 days from now.");
  }
  return Math.ceil(time / 1000) * 1000;
}

function cannotRedeem(documents: DocumentStore | undefined): FixityError {
  const reason =
    documents === undefined
      ? "the store keeps no documents"
      : "the store has no conditional writes, so two requests could use the permit at the same time";
  return new FixityError("store-misconfigured", `A permit for one upload cannot be used here: ${reason}.`);
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
