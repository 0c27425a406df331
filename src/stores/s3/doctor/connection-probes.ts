import { FixityError } from "../../../core/errors.ts";
import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { checkBucket } from "../store-error.ts";
import { urlPath } from "../api/client.ts";
import { Layout } from "../layout.ts";
import { S3Error } from "../api/s3-error.ts";
import type { Bench } from "./bench.ts";
import { type BucketProbe, vital, wanted } from "./probe.ts";

/** Milliseconds: S3 refuses requests whose clock is further off, and those off by a third of that soon will be. */
const MOST_SKEW = 15 * 60_000;
const SKEW_TO_TELL = MOST_SKEW / 3;

const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/;

const group = "Connection";

export const CONNECTION_PROBES: readonly BucketProbe[] = [
  {
    id: "answer",
    group,
    title: "The endpoint answers",
    isGate: true,
    otherwise: vital("Check the endpoint and the network between."),
    run: answers,
  },
  {
    id: "https",
    group,
    title: "Nobody on the way can read along (https)",
    otherwise: wanted(
      "Parts are signed with their SHA-256, so nothing can be changed unseen; but everything can be read.",
    ),
    run: isPrivate,
  },
  {
    id: "clock",
    group,
    title: "The clocks agree",
    otherwise: wanted("S3 refuses requests that are more than 15 minutes off. Keep this machine's clock with NTP."),
    run: clocksAgree,
  },
  {
    id: "keys",
    group,
    title: "The keys are accepted, and the bucket is there",
    isGate: true,
    otherwise: vital("fixity serve does not start like this."),
    run: keysAreAccepted,
  },
];

/** Asked without keys, by any request: what matters is that somebody answers. */
async function answers(bench: Bench): Promise<Outcome> {
  if ((await timeAt(bench)) !== null) return holds();
  try {
    await checkBucket(bench.client, new Layout(bench.options.keyPrefix).blobs, undefined);
  } catch (error) {
    if (error instanceof FixityError && error.code === "store-unavailable") throw error;
  }
  return holds();
}

async function isPrivate({ options: { endpoint } }: Bench): Promise<Outcome> {
  if (endpoint.isSecure) return holds();
  return LOOPBACK.test(endpoint.address)
    ? untried("http, on this machine")
    : fails(`${endpoint.address} is spoken to by http.`);
}

async function clocksAgree(bench: Bench): Promise<Outcome> {
  const time = await timeAt(bench);
  if (time === null) return untried("the answers have no Date");
  const { ahead, doubt } = time;
  const skew = Math.abs(ahead);
  const told = `${(skew / 1000).toFixed(0)} s apart`;
  if (skew < SKEW_TO_TELL) return holds(skew <= doubt ? null : told);
  const found = `This machine is ${told.replace("apart", ahead < 0 ? "ahead" : "behind")}.`;
  return fails(found, skew < MOST_SKEW ? {} : { verdict: "failure" });
}

async function keysAreAccepted({ client, options }: Bench): Promise<Outcome> {
  try {
    await checkBucket(client, new Layout(options.keyPrefix).blobs, undefined);
  } catch (error) {
    // what the keys may not do, the other probes find out one by one
    const isKnown =
      error instanceof FixityError && error.cause instanceof S3Error && error.cause.code === "AccessDenied";
    if (!isKnown) throw error;
  }
  return holds();
}

/** By how many milliseconds the server's clock is ahead of ours, and how far that may be wrong. */
async function timeAt({
  client: { endpoint },
}: Bench): Promise<{ readonly ahead: number; readonly doubt: number } | null> {
  const begun = Date.now();
  try {
    const signal = AbortSignal.timeout(10_000);
    const answer = await fetch(endpoint.origin + urlPath(endpoint, null), {
      method: "HEAD",
      redirect: "manual",
      signal,
    });
    const date = Date.parse(answer.headers.get("date") ?? "");
    const ended = Date.now();
    // the field has whole seconds
    const ahead = date + 500 - (begun + ended) / 2;
    return Number.isNaN(date) ? null : { ahead, doubt: 1_000 + (ended - begun) / 2 };
  } catch {
    return null;
  }
}
