import { FixityError } from "../../../core/errors.ts";
import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { urlPath } from "../api/client.ts";
import { S3Error } from "../api/s3-error.ts";
import { Layout } from "../layout.ts";
import { checkBucket } from "../store-error.ts";
import { type Bench, type BucketProbe, vital, wanted } from "./bench.ts";

/** S3 refuses requests whose clock is off by more; a third of that is worth a warning. */
const MAX_SKEW_MS = 15 * 60_000;
const REPORTED_SKEW_MIN_MS = MAX_SKEW_MS / 3;

const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/;

const group = "Connection";

export const CONNECTION_PROBES: readonly BucketProbe[] = [
  {
    id: "answer",
    group,
    title: "The endpoint responds",
    isGate: true,
    otherwise: vital("Check the endpoint's address and the network in between."),
    run: responds,
  },
  {
    id: "https",
    group,
    title: "The connection is encrypted (https)",
    otherwise: wanted("Parts are signed with their SHA-256, so every change is noticed; but everything can be read."),
    run: isEncrypted,
  },
  {
    id: "clock",
    group,
    title: "The clocks agree",
    otherwise: wanted(
      "S3 refuses requests that are off by more than 15 minutes. Synchronise this machine's clock by NTP.",
    ),
    run: clocksAgree,
  },
  {
    id: "keys",
    group,
    title: "The credentials are accepted, and the bucket exists",
    isGate: true,
    otherwise: vital("fixity serve does not start like this."),
    run: credentialsAreAccepted,
  },
];

/** Any response will do, also to a request without credentials. */
async function responds(bench: Bench): Promise<Outcome> {
  if ((await serverClock(bench)) !== null) return holds();
  try {
    await checkBucket(bench.client, new Layout(bench.options.keyPrefix).blobs, undefined);
  } catch (error) {
    if (error instanceof FixityError && error.code === "store-unavailable") throw error;
  }
  return holds();
}

async function isEncrypted({ options: { endpoint } }: Bench): Promise<Outcome> {
  if (endpoint.isSecure) return holds();
  return LOOPBACK.test(endpoint.address)
    ? untried("http, on this machine")
    : fails(`The connection to ${endpoint.address} uses http.`);
}

async function clocksAgree(bench: Bench): Promise<Outcome> {
  const clock = await serverClock(bench);
  if (clock === null) return untried("the responses have no Date");
  const { aheadMs, uncertaintyMs } = clock;
  const skew = Math.abs(aheadMs);
  const seconds = (skew / 1000).toFixed(0);
  if (skew < REPORTED_SKEW_MIN_MS) return holds(skew <= uncertaintyMs ? null : `${seconds} s apart`);
  const found = `This machine is ${seconds} s ${aheadMs < 0 ? "ahead" : "behind"}.`;
  return fails(found, skew < MAX_SKEW_MS ? {} : { verdict: "failure" });
}

async function credentialsAreAccepted({ client, options }: Bench): Promise<Outcome> {
  try {
    await checkBucket(client, new Layout(options.keyPrefix).blobs, undefined);
  } catch (error) {
    // The other probes report, one by one, which permissions the credentials lack.
    const isKnown =
      error instanceof FixityError && error.cause instanceof S3Error && error.cause.code === "AccessDenied";
    if (!isKnown) throw error;
  }
  return holds();
}

interface ServerClock {
  /** Milliseconds by which the server's clock is ahead of this machine's. */
  readonly aheadMs: number;
  readonly uncertaintyMs: number;
}

async function serverClock({ client: { endpoint } }: Bench): Promise<ServerClock | null> {
  const startedAt = Date.now();
  try {
    const signal = AbortSignal.timeout(10_000);
    const url = endpoint.origin + urlPath(endpoint, null);
    const response = await fetch(url, { method: "HEAD", redirect: "manual", signal });
    const date = Date.parse(response.headers.get("date") ?? "");
    const endedAt = Date.now();
    // `Date` has whole seconds, rounded down.
    const aheadMs = date + 500 - (startedAt + endedAt) / 2;
    return Number.isNaN(date) ? null : { aheadMs, uncertaintyMs: 1_000 + (endedAt - startedAt) / 2 };
  } catch {
    return null;
  }
}
