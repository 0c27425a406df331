import { recallList, remember } from "../tab-storage.ts";

/** A file that was stored, as the page shows it. */
export interface Result {
  /** The permanent link, absolute. */
  readonly url: string;
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The media type that the link is served with. */
  readonly type: string;
  readonly name: string;
  /** For an `integrity` attribute. */
  readonly integrity: string;
  /** The content was stored already. */
  readonly existed: boolean;
  /** Bytes that were sent. */
  readonly sent: number;
}

/** Results that are shown again after a reload, at most. */
const KEPT = 200;
const KEY = "results";

/** Reads the result of an upload; `null` if it is none. */
export function resultOf(receipt: unknown, fallbackName: string): Result | null {
  if (typeof receipt !== "object" || receipt === null) return null;
  const { url, digest, size, type, name, integrity, existed, sent } = receipt as Record<string, unknown>;
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
  };
}

/** What this tab has uploaded, the newest first: a reload loses no link. An entry that is broken costs no other one. */
export function keptResults(): readonly Result[] {
  return recallList(KEY).flatMap((entry) => resultOf(entry, "") ?? []);
}

/** Keeps the results of this tab; where the browser keeps nothing, they last as long as the page. */
export function keepResults(results: readonly Result[]): void {
  remember(KEY, JSON.stringify(results.slice(0, KEPT)));
}
