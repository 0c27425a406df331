import { createHmac, createSecretKey, hash, hkdfSync, type KeyObject, timingSafeEqual } from "node:crypto";
import { FixityError } from "../core/errors.ts";

/** What a key authenticates. Each purpose has keys of its own, derived from the same texts. */
export type KeyPurpose = "permit" | "link";

/** The fewest characters of a key's text. Shorter ones could be guessed from one MAC. */
export const KEY_TEXT_MIN_LENGTH = 32;

/** The characters of a key id, and of a MAC, in base64url. */
const KEY_ID_LENGTH = 6;
const MAC_LENGTH = 43;

const KEY_BYTES = 32;

/** A message authentication code, and the id of the key that made it. */
export interface Signature {
  readonly keyId: string;
  /** The 32 bytes of HMAC-SHA-256 in base64url, without padding. */
  readonly mac: string;
}

/**
 * Keys that authenticate texts for one purpose, with HMAC-SHA-256. The first key signs and all
 * verify, so a key is replaced without invalidating what it signed: put the new one first, and
 * remove the old one when nothing it signed is valid any more.
 *
 * The keys are derived with HKDF (RFC 5869) for the purpose. Keys of two purposes are unrelated,
 * also if they come from one text.
 */
export class AccessKeys {
  /** The id of the key that signs. */
  readonly keyId: string;
  readonly #keys: ReadonlyMap<string, KeyObject>;

  private constructor(keyId: string, keys: ReadonlyMap<string, KeyObject>) {
    this.keyId = keyId;
    this.#keys = keys;
  }

  /**
   * Derives keys from secret texts, the signing one first.
   *
   * @throws FixityError `invalid-option` without a text, or for one that is too short; the message
   *   states its position and no part of it
   */
  static parse(texts: readonly string[], purpose: KeyPurpose): AccessKeys {
    const keys = new Map<string, KeyObject>();
    for (const [index, text] of texts.entries()) {
      if (text.length < KEY_TEXT_MIN_LENGTH) {
        throw new FixityError(
          "invalid-option",
          `Key ${index + 1} for ${purpose}s has ${text.length} characters. A key must have at least ` +
            `${KEY_TEXT_MIN_LENGTH}: use the output of "openssl rand -base64 32".`,
        );
      }
      const bytes = Buffer.from(hkdfSync("sha256", text, "", `fixity ${purpose} v1`, KEY_BYTES));
      keys.set(hash("sha256", bytes, "base64url").slice(0, KEY_ID_LENGTH), createSecretKey(bytes));
    }
    const [keyId] = keys.keys();
    if (keyId === undefined) throw new FixityError("invalid-option", `There is no key for ${purpose}s.`);
    return new AccessKeys(keyId, keys);
  }

  /** The ids of all keys, the signing one first. Not secret. */
  get ids(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** The MAC of a text under the signing key. Include {@link keyId} in the text. */
  sign(text: string): Signature {
    return { keyId: this.keyId, mac: macOf(this.#keys.get(this.keyId) as KeyObject, text) };
  }

  /**
   * Whether a key with this id made this MAC of this text. Takes the same time wherever two MACs
   * differ. A MAC has one valid spelling: with 43 characters, base64url has two unused bits, which
   * must be zero.
   */
  verify(keyId: string, text: string, mac: string): boolean {
    const key = this.#keys.get(keyId);
    if (key === undefined || mac.length !== MAC_LENGTH) return false;
    const [given, expected] = [Buffer.from(mac), Buffer.from(macOf(key, text))];
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}

function macOf(key: KeyObject, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64url");
}
