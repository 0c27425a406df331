import type { DocumentStore } from "../document-store.ts";
import { FixityError } from "../errors.ts";

/** The first two hex digits of digests, `00` to `ff`: what one pass is over. */
export const DIGEST_PREFIXES: readonly string[] = Array.from({ length: 256 }, (_, value) =>
  value.toString(16).padStart(2, "0"),
);

const DOCUMENT_NAME = "verify/passes";

/** A recorded time that lies further in the future comes from a clock that was wrong. */
const CLOCK_SKEW_MAX_MS = 3_600_000;

/** Attempts to write, each after another process has written. */
const WRITE_ATTEMPTS_MAX = 20;

/**
 * When the last complete pass over each prefix began, in milliseconds since 1970 by the clock of the
 * machine that made it: every blob whose digest begins with the prefix was read after that.
 */
export type Passes = ReadonlyMap<string, number>;

/**
 * The recorded passes: the document `verify/passes`, which has a time for each of up to 256
 * prefixes.
 *
 * @throws FixityError `store-misconfigured` if a later version of fixity has written it, or another
 *   `store-…` code
 */
export async function readPasses(documents: DocumentStore, signal?: AbortSignal): Promise<Passes> {
  return parsePasses((await documents.read(DOCUMENT_NAME, signal))?.text);
}

/** The prefixes whose last pass began longer than `maxAgeMs` ago or never, the oldest first. */
export function duePrefixes(passes: Passes, maxAgeMs: number, now: number = Date.now()): string[] {
  const startedAt = (prefix: string): number => {
    const time = passes.get(prefix) ?? -Infinity;
    return time > now + CLOCK_SKEW_MAX_MS ? -Infinity : time;
  };
  return DIGEST_PREFIXES.filter((prefix) => now - startedAt(prefix) >= maxAgeMs).toSorted((one, other) => {
    const [first, second] = [startedAt(one), startedAt(other)];
    return first === second ? 0 : first - second;
  });
}

/**
 * Adds completed passes to the recorded ones. Of two times of one prefix the later one stays, so
 * that concurrent runs lose nothing of each other.
 *
 * @throws FixityError as {@link readPasses} does
 */
export async function recordPasses(
  documents: DocumentStore,
  completed: Passes,
  now: number = Date.now(),
): Promise<void> {
  for (let attempts = 0; attempts < WRITE_ATTEMPTS_MAX; attempts += 1) {
    const recorded = await documents.read(DOCUMENT_NAME);
    const merged = new Map(parsePasses(recorded?.text));
    for (const [prefix, time] of completed) {
      const earlier = merged.get(prefix) ?? -Infinity;
      if (earlier <= time || earlier > now + CLOCK_SKEW_MAX_MS) merged.set(prefix, time);
    }
    const condition = recorded === null ? ({ ifAbsent: true } as const) : { ifMatch: recorded.tag };
    if ((await documents.write(DOCUMENT_NAME, formatPasses(merged), condition)) !== null) return;
  }
  throw new FixityError("store-busy", "The record of verified prefixes is written by others all the time.");
}

function formatPasses(passes: Passes): string {
  const times = [...passes].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify({
    version: 1,
    passes: Object.fromEntries(times.map(([prefix, time]) => [prefix, new Date(time).toISOString()])),
  });
}

/** None for a text that is none of ours: it is written anew. */
function parsePasses(text: string | undefined): Passes {
  const { version, passes } = objectIn(text);
  if (typeof version === "number" && version > 1) {
    throw new FixityError(
      "store-misconfigured",
      `A later version of fixity has written documents/${DOCUMENT_NAME}: use that version.`,
    );
  }
  const found = new Map<string, number>();
  for (const prefix of DIGEST_PREFIXES) {
    const time = Date.parse(String((passes as Record<string, unknown> | null | undefined)?.[prefix]));
    if (!Number.isNaN(time)) found.set(prefix, time);
  }
  return found;
}

function objectIn(text = "{}"): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
