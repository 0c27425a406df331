import { randomBytes } from "node:crypto";
import { FixityError } from "./errors.ts";

const HEX = /^[0-9a-f]{32}$/;

/**
 * The name of a resumable upload: 128 random bits. Whoever knows it can continue the upload, so it
 * must be unguessable. Only this class makes values, so it is safe to build a path or a key from
 * one.
 */
export class UploadId {
  /** 32 lower-case hex digits. */
  readonly hex: string;

  private constructor(hex: string) {
    this.hex = hex;
  }

  /** A new id. */
  static random(): UploadId {
    return new UploadId(randomBytes(16).toString("hex"));
  }

  /** Parses 32 lower-case hex digits; `null` for anything else. */
  static fromHex(hex: string): UploadId | null {
    return HEX.test(hex) ? new UploadId(hex) : null;
  }

  /**
   * Parses 32 lower-case hex digits. A malformed id and an unknown one get the same error, so that
   * probing reveals nothing.
   *
   * @throws FixityError `upload-not-found`
   */
  static parse(text: string): UploadId {
    const id = UploadId.fromHex(text);
    if (id !== null) return id;
    throw uploadNotFound();
  }

  /** 32 lower-case hex digits. */
  toString(): string {
    return this.hex;
  }
}

export function uploadNotFound(): FixityError {
  return new FixityError(
    "upload-not-found",
    "There is no such upload: it never existed, has expired, or was cancelled.",
  );
}
