import { randomBytes } from "node:crypto";
import { FixityError } from "./errors.ts";

const HEX = /^[0-9a-f]{32}$/;

/**
 * The name of an upload that can be resumed: 128 random bits. Who knows it may go on with the upload, so it cannot be
 * guessed; and since values are made here only, paths and keys may be built from it.
 */
export class UploadId {
  /** 32 lower-case hex digits. */
  readonly hex: string;

  private constructor(hex: string) {
    this.hex = hex;
  }

  /** A new one. */
  static random(): UploadId {
    return new UploadId(randomBytes(16).toString("hex"));
  }

  /** Reads 32 lower-case hex digits; anything else is `null`. */
  static fromHex(hex: string): UploadId | null {
    return HEX.test(hex) ? new UploadId(hex) : null;
  }

  /**
   * Reads 32 lower-case hex digits. What is not written so names no upload: one answer for both, so that nothing is learnt
   * by trying.
   *
   * @throws FixityError `upload-not-found`
   */
  static parse(text: string): UploadId {
    const id = UploadId.fromHex(text);
    if (id !== null) return id;
    throw uploadNotFound();
  }

  toString(): string {
    return this.hex;
  }
}

export function uploadNotFound(): FixityError {
  return new FixityError("upload-not-found", "There is no such upload: it never was, has expired, or was cancelled.");
}
