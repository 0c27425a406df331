import type { Finding } from "./finding.ts";

/** How the clearing up went. */
export interface Remains {
  /** Names of what could not be removed. */
  readonly names: readonly string[];
  /** How much of an earlier, broken-off diagnosis was removed as well. */
  readonly swept: number;
}

const PROBE = { probe: "clear", group: "Afterwards", title: "Nothing of the probes is left behind" } as const;

/** The last finding of every diagnosis. */
export function cleared({ names, swept }: Remains): Finding {
  const common = { ...PROBE, permission: null, ms: 0 };
  if (names.length === 0) {
    const things = swept === 1 ? "1 thing" : `${swept} things`;
    const found = swept === 0 ? null : `${things} of an earlier diagnosis ${swept === 1 ? "was" : "were"} removed, too`;
    return { ...common, verdict: "ok", found, remedy: null };
  }
  return {
    ...common,
    verdict: "warning",
    found: `Could not be removed: ${names.join(", ")}.`,
    remedy: "Nothing of it can be read through fixity. Remove it by hand, or run this again in an hour.",
  };
}
