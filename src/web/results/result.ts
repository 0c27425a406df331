import type { UploadResult } from "../../client.ts";
import { recallList, remember } from "../tab-storage.ts";

/** A stored file as the page shows it. */
export interface Result extends UploadResult {
  readonly name: string;
}

/** Results that survive a reload. */
const MAX_REMEMBERED = 200;
const RESULTS_KEY = "results";

/** Reads the result of an upload; `null` if it is not one. */
export function parseResult(value: unknown, fallbackName: string): Result | null {
  if (typeof value !== "object" || value === null) return null;
  const { url, digest, size, type, name, integrity, existed, sent } = value as Record<string, unknown>;
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

/** Returns what this tab has uploaded, the newest first. A broken entry is skipped. */
export function recallResults(): readonly Result[] {
  return recallList(RESULTS_KEY).flatMap((entry) => parseResult(entry, "") ?? []);
}

export function rememberResults(results: readonly Result[]): void {
  remember(RESULTS_KEY, JSON.stringify(results.slice(0, MAX_REMEMBERED)));
}
