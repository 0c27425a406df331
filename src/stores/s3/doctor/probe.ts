import type { Probe } from "../../doctor/probe.ts";
import type { Bench } from "./bench.ts";

/** A probe of a bucket. */
export type BucketProbe = Probe<Bench>;

/** Without it a bucket is of no use. */
export function vital(remedy: string): BucketProbe["otherwise"] {
  return { verdict: "failure", remedy };
}

/** Without it something is left undone. */
export function wanted(remedy: string): BucketProbe["otherwise"] {
  return { verdict: "warning", remedy };
}

/** Without it fixity does as well. */
export function welcome(remedy: string): BucketProbe["otherwise"] {
  return { verdict: "note", remedy };
}
