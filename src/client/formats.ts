/** The fields of HTTP that the client writes and reads. */
import { percentEncode } from "../base/percent-encode.ts";
import type { WireAnswer } from "./platform.ts";

/** `Content-Disposition` with a file's name in any script (RFC 6266, RFC 8187). */
export function formatDisposition(filename: string): string {
  return `inline; filename*=UTF-8''${percentEncode(filename)}`;
}

/** `Repr-Digest` (RFC 9530) of a SHA-256 in hex. */
export function formatReprDigest(hex: string): string {
  return `sha-256=:${base64OfHex(hex)}:`;
}

/** Bytes in hex, in base64. */
export function base64OfHex(hex: string): string {
  return btoa(hex.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16))));
}

/** Bytes in hex. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A number of bytes in a field, whose parameters are ignored (RFC 9651, section 3.3); `null` for anything else. */
export function parseInteger(text: string | null): number | null {
  const [, digits] = /^(\d{1,15})(?:;.*)?$/.exec(text ?? "") ?? [];
  return digits === undefined ? null : Number(digits);
}

/** Whether a response is the final one to its upload (`Upload-Complete: ?1`), whether the upload succeeded or not. */
export function isComplete({ field }: Pick<WireAnswer, "field">): boolean {
  return /^ *\?1 *(?:;|$)/.test(field("upload-complete") ?? "");
}

/** Limits on the content of one request. */
export interface AppendLimits {
  readonly max: number;
  readonly min: number;
  /** Seconds that the upload is kept from now; `null` where that is not told. */
  readonly age: number | null;
}

/** `Upload-Limit`: a dictionary of integers, of which others than these are passed over. */
export function parseLimits(text: string | null): AppendLimits {
  const limit = (key: string): number | null =>
    parseInteger(new RegExp(`(?:^|[\\s,])${key}=(\\d+)(?![\\d.])`).exec(text ?? "")?.[1] ?? null);
  return { max: limit("max-append-size") ?? Infinity, min: limit("min-append-size") ?? 0, age: limit("max-age") };
}
