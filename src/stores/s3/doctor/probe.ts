import { type Consequence, holds, type Outcome, type Probe, restricted } from "../../doctor/examine.ts";
import type { Bench, Seen } from "./bench.ts";

/** A probe of a bucket. */
export type BucketProbe = Probe<Bench>;

/** Without it a bucket is of no use. */
export function vital(remedy: string): Consequence {
  return { verdict: "failure", remedy };
}

/** Without it something is left undone. */
export function wanted(remedy: string): Consequence {
  return { verdict: "warning", remedy };
}

/** Without it fixity does as well. */
export function welcome(remedy: string): Consequence {
  return { verdict: "note", remedy };
}

/**
 * It holds, but perhaps not at once.
 *
 * @param verb what came late: "shown", "listed", "gone"
 * @param meaning of that for uploads and downloads
 */
export function holdsInTime({ lateMs }: Seen<unknown>, verb: string, meaning: string): Outcome {
  return lateMs === 0 ? holds() : restricted(`${verb} ${secondsOf(lateMs)} s late`, wanted(meaning));
}

function secondsOf(ms: number): string {
  return Math.max(ms / 1000, 0.1).toFixed(1);
}
