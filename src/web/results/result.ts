import type { UploadResult } from "../../client.ts";

/** A stored file as the page shows it. */
export interface Result extends UploadResult {
  readonly name: string;
  /** When it was uploaded, in milliseconds since 1970; 0 if that is not known. */
  readonly time: number;
  /** Bytes of metadata that were removed before it was sent. */
  readonly removed: number;
}

/** Reads the result of an upload, or one that was kept; `null` if it is neither. */
export function parseResult(value: unknown, fallbackName: string): Result | null {
  if (typeof value !== "object" || value === null) return null;
  const { url, digest, size, type, name, integrity, existed, sent, time, removed } = value as Record<string, unknown>;
  if (typeof url !== "string" || !URL.canParse(url, location.href)) return null;
  const { href, protocol } = new URL(url, location.href);
  if (!/^https?:$/.test(protocol)) return null;
  return {
    url: href,
    digest: String(digest),
    size: Number(size),
    type: String(type),
    name: typeof name === "string" ? name : fallbackName,
    integrity: String(integrity),
    existed: existed === true,
    sent: Number(sent ?? 0),
    removed: Number(removed ?? 0) || 0,
    // beyond that there are no dates (ECMA-262, section 21.4.1.1)
    time: typeof time === "number" && Math.abs(time) <= 8.64e15 ? time : 0,
  };
}

/** The link of a file, which saves the file under its name if that is wanted. */
export function linkOf({ url, name }: Result, isNamed: boolean): string {
  return isNamed && name !== "" ? `${url}?filename=${encodeURIComponent(name)}` : url;
}
