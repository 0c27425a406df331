import { fails, holds, type Outcome } from "../../doctor/examine.ts";
import { S3Error } from "../api/s3-error.ts";
import { type Bench, type BucketProbe, welcome } from "./bench.ts";

const group = "Downloads straight from the bucket";

/** Fields that the response to a presigned request should have. */
const TYPE = "application/x-fixity-doctor";
const DISPOSITION = 'attachment; filename="a b.txt"';
const LIFETIME_SECONDS = 60;

const STREAM_REMEDY =
  "Do not delegate downloads to the bucket: fixity then serves every file itself, which is the default.";

export const DOWNLOAD_PROBES: readonly BucketProbe[] = [
  {
    id: "presigned",
    group,
    title: "A presigned URL returns the object, with the requested type and name",
    needs: ["get"],
    otherwise: welcome(STREAM_REMEDY),
    run: returnsObject,
  },
  {
    id: "presigned-range",
    group,
    title: "So does one for a range of it",
    needs: ["presigned"],
    otherwise: welcome(STREAM_REMEDY),
    run: returnsRange,
  },
  {
    id: "cors",
    group,
    title: "Pages of other origins may read the response (CORS)",
    needs: ["presigned"],
    otherwise: welcome("It matters only if downloads are delegated to the bucket and scripts on pages read files."),
    run: letsPagesRead,
  },
];

async function returnsObject(bench: Bench): Promise<Outcome> {
  const { status, headers } = await request(await presignedUrl(bench));
  if (status !== 200) return fails(`The status is ${status}.`);
  const isAsRequested = headers.get("content-type") === TYPE && headers.get("content-disposition") === DISPOSITION;
  return isAsRequested ? holds() : fails("The response has another type or name.");
}

async function returnsRange(bench: Bench): Promise<Outcome> {
  const { status, text } = await request(await presignedUrl(bench), { Range: "bytes=7-12" });
  return status === 206 && text.length === 6 ? holds() : fails(`The status is ${status}, with ${text.length} bytes.`);
}

async function letsPagesRead(bench: Bench): Promise<Outcome> {
  const origin = "https://doctor.example.com";
  const fields = { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range" };
  const { status, headers } = await request(await presignedUrl(bench), fields, "OPTIONS");
  const allowed = headers.get("access-control-allow-origin");
  if (status < 300 && (allowed === "*" || allowed === origin)) return holds();
  return fails(`The response to a preflight request does not allow ${origin}.`);
}

async function presignedUrl(bench: Bench): Promise<string> {
  const query = { "response-content-type": TYPE, "response-content-disposition": DISPOSITION };
  const signable = { operation: "GetObject", method: "GET", key: bench.key("small"), query };
  return (await bench.client.presign(signable, LIFETIME_SECONDS)).url;
}

/** Sends a request like a browser, without credentials. */
async function request(url: string, headers: Readonly<Record<string, string>> = {}, method = "GET") {
  try {
    const response = await fetch(url, { method, headers, redirect: "manual", signal: AbortSignal.timeout(10_000) });
    return { status: response.status, headers: response.headers, text: await response.text() };
  } catch (cause) {
    throw new S3Error({ operation: `A presigned ${method}`, status: null, cause });
  }
}
