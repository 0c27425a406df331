import { FixityError } from "./errors.ts";

const HEX = /^[0-9a-f]{64}$/;

/**
 * The name of bytes: their SHA-256. Only the parsers below make values, so it is safe to build a
 * path or a key from one.
 */
export class Digest {
  /** 64 lower-case hex digits. */
  readonly hex: string;
  #base64: string | null = null;

  private constructor(hex: string) {
    this.hex = hex;
  }

  /** Parses 64 lower-case hex digits; `null` for anything else. */
  static fromHex(hex: string): Digest | null {
    return HEX.test(hex) ? new Digest(hex) : null;
  }

  /** From the 32 bytes of a SHA-256; `null` for another length. */
  static fromBytes(bytes: Uint8Array): Digest | null {
    return bytes.length === 32 ? new Digest(Buffer.from(bytes).toString("hex")) : null;
  }

  /**
   * Parses `sha256:<hex>`, the form of the OCI image specification ("Digests"), or the bare hex
   * digits.
   *
   * @throws FixityError `invalid-digest`
   */
  static parse(text: string): Digest {
    const digest = Digest.fromHex(text.startsWith("sha256:") ? text.slice(7) : text);
    if (digest !== null) return digest;
    throw new FixityError("invalid-digest", "A digest is sha256:<64 lower-case hex digits>.");
  }

  /** The 32 bytes. */
  toBytes(): Buffer {
    return Buffer.from(this.hex, "hex");
  }

  /** The 32 bytes in base64. */
  get base64(): string {
    this.#base64 ??= this.toBytes().toString("base64");
    return this.#base64;
  }

  /** The value of an `integrity` attribute: `sha256-<base64>` (W3C Subresource Integrity). */
  get integrity(): string {
    return `sha256-${this.base64}`;
  }

  /** Whether both name the same bytes. */
  equals(other: Digest): boolean {
    return this.hex === other.hex;
  }

  /** `sha256:<hex>`. */
  toString(): string {
    return `sha256:${this.hex}`;
  }

  /** `sha256:<hex>`. */
  toJSON(): string {
    return this.toString();
  }
}
