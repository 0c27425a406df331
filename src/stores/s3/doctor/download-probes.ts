import { fails, holds, type Outcome } from "../../doctor/examine.ts";
import { S3Error } from "../api/s3-error.ts";
import type { Bench } from "./bench.ts";
import { type BucketProbe, welcome } from "./probe.ts";

const group = "Downloads straight from the bucket";

/** Fields that the answer to a presigned request is asked to have. */
const TYPE = "application/x-fixity-doctor";
const DISPOSITION = 'attachment; filename="a b.txt"';
/** Seconds for which a presigned URL holds. */
const HOLDS = 60;

const OWN_DOWNLOADS =
  "Do not send readers to the bucket: fixity serves every file by itself, as it does unless told otherwise.";

export const DOWNLOAD_PROBES: readonly BucketProbe[] = [
  {
    id: "presigned",
    group,
    title: "A presigned URL gives an object, with the type and name asked for",
    needs: ["get"],
    otherwise: welcome(OWN_DOWNLOADS),
    run: givesToBearer,
  },
  {
    id: "presigned-range",
    group,
    title: "A range of it too",
    needs: ["presigned"],
    otherwise: welcome(OWN_DOWNLOADS),
    run: givesRangeToBearer,
  },
  {
    id: "cors",
    group,
    title: "Pages of other origins may read the answer (CORS)",
    needs: ["presigned"],
    otherwise: welcome("It matters only where readers are sent to the bucket, and pages read files by script."),
    run: letsPagesRead,
  },
];

async function givesToBearer(bench: Bench): Promise<Outcome> {
  const answer = await get(await presigned(bench));
  if (answer.status !== 200) return fails(`The answer was ${answer.status}.`);
  const { headers } = answer;
  const isAsAsked = headers.get("content-type") === TYPE && headers.get("content-disposition") === DISPOSITION;
  return isAsAsked ? holds() : fails("It has another type or name than was asked for.");
}

async function givesRangeToBearer(bench: Bench): Promise<Outcome> {
  const { status, text } = await get(await presigned(bench), { Range: "bytes=7-12" });
  return status === 206 && text.length === 6 ? holds() : fails(`The answer was ${status}, of ${text.length} bytes.`);
}

async function letsPagesRead(bench: Bench): Promise<Outcome> {
  const origin = "https://doctor.example.com";
  const fields = { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range" };
  const { status, headers } = await get(await presigned(bench), fields, "OPTIONS");
  const allowed = headers.get("access-control-allow-origin");
  if (status < 300 && (allowed === "*" || allowed === origin)) return holds();
  return fails(`Asked by a preflight, the bucket does not let ${origin} read.`);
}

async function presigned(bench: Bench): Promise<string> {
  const query = { "response-content-type": TYPE, "response-content-disposition": DISPOSITION };
  const request = { operation: "GetObject", method: "GET", key: bench.key("small"), query };
  return (await bench.client.presign(request, HOLDS)).url;
}

/** As a browser does, without keys of its own. */
async function get(url: string, headers: Readonly<Record<string, string>> = {}, method = "GET") {
  try {
    const answer = await fetch(url, { method, headers, redirect: "manual", signal: AbortSignal.timeout(10_000) });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  } catch (cause) {
    throw new S3Error({ operation: `A presigned ${method}`, status: null, cause });
  }
}
