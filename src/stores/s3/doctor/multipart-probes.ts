import { setTimeout as sleep } from "node:timers/promises";
import { ByteRange } from "../../../core/byte-range.ts";
import { fails, holds, type Outcome, untried } from "../../doctor/probe.ts";
import { listParts, listUploads } from "../listing.ts";
import { uploadPart } from "../multipart.ts";
import { headObject } from "../objects.ts";
import { failedWith } from "../s3-error.ts";
import type { Bench } from "./bench.ts";
import { readText } from "./object-probes.ts";
import { type BucketProbe, vital, wanted } from "./probe.ts";

/** Bytes of a part that is not the last one: no fewer are taken ("Amazon S3 multipart upload limits"). */
export const FIRST_PART: number = 5 * 1024 * 1024;
/** Bytes of the last part. */
export const LAST_PART = 1024;

const group = "Large files";
const NO_LARGE_FILES = "Only files that fit one part (UPLOAD_BUCKET_PART_SIZE, 8 MiB) could be stored.";
const ABANDONED =
  "Parts that dead servers leave stay and cost. A lifecycle rule with AbortIncompleteMultipartUpload removes them.";

export const MULTIPART_PROBES: readonly BucketProbe[] = [
  {
    id: "multipart",
    group,
    title: "Parts are taken, in any order (CreateMultipartUpload, UploadPart)",
    otherwise: vital(NO_LARGE_FILES),
    run: takesParts,
  },
  {
    id: "complete",
    group,
    title: "They become one object (CompleteMultipartUpload)",
    needs: ["multipart"],
    otherwise: vital(NO_LARGE_FILES),
    run: completes,
  },
  {
    id: "part-order",
    group,
    title: "Its bytes stand in the order of the parts' numbers",
    needs: ["complete"],
    otherwise: vital("Large files would be stored damaged."),
    run: keepsOrder,
  },
  {
    id: "list-uploads",
    group,
    title: "Unfinished uploads are listed (ListMultipartUploads)",
    otherwise: wanted(ABANDONED),
    run: listsUploads,
  },
  {
    id: "list-parts",
    group,
    title: "Their parts are listed (ListParts)",
    otherwise: wanted(ABANDONED),
    run: listsParts,
  },
  {
    id: "abort",
    group,
    title: "They are thrown away with all their parts (AbortMultipartUpload)",
    otherwise: wanted(ABANDONED),
    run: aborts,
  },
];

async function takesParts(bench: Bench): Promise<Outcome> {
  const upload = await bench.transfer("large");
  const last = await upload.upload(2, bench.partOf(Buffer.alloc(LAST_PART, "2")), bench.signal);
  const first = await upload.upload(1, bench.partOf(Buffer.alloc(FIRST_PART, "1")), bench.signal);
  bench.large = { upload, parts: [first, last] };
  return holds();
}

async function completes(bench: Bench): Promise<Outcome> {
  if (bench.large === null) return untried("there are no parts");
  const { upload, parts } = bench.large;
  const size = FIRST_PART + LAST_PART;
  await upload.complete(parts, size);
  const found = await headObject(bench.client, bench.key("large"));
  return found?.size === size ? holds() : fails(`It has ${found?.size ?? "no"} bytes, not ${size}.`);
}

async function keepsOrder(bench: Bench): Promise<Outcome> {
  return (await textAtBorder(bench, bench.key("large"))) === "11112222" ? holds() : fails("Other bytes stand there.");
}

/** The last four bytes of the first part, and the four behind them. */
export async function textAtBorder(bench: Bench, key: string): Promise<string | null> {
  return readText(bench, key, ByteRange.over({ start: FIRST_PART - 4, end: FIRST_PART + 4 }));
}

async function listsUploads(bench: Bench): Promise<Outcome> {
  const { uploadId, key } = await looseUpload(bench);
  for await (const { items } of listUploads(bench.client, bench.prefix)) {
    if (items.some((upload) => upload.uploadId === uploadId && upload.key === key)) return holds();
  }
  return fails("One that was begun a moment ago is not among them.");
}

async function listsParts(bench: Bench): Promise<Outcome> {
  for await (const { items } of listParts(bench.client, await looseUpload(bench))) {
    if (items.some(({ size }) => size === LAST_PART)) return holds();
  }
  return fails("One that was sent a moment ago is not among them.");
}

async function aborts(bench: Bench): Promise<Outcome> {
  const upload = await looseUpload(bench);
  await bench.abortLoose();
  for (let looks = 0; looks < 5; looks += 1) {
    if (looks > 0) await sleep(200);
    if ((await countParts(bench, upload)) === 0) return holds();
  }
  return fails("The parts are still there after the answer.");
}

/** Begins an upload of one part, unless there is one from an earlier probe. */
async function looseUpload(bench: Bench) {
  if (bench.loose !== null) return bench.loose;
  const upload = await bench.beginLoose("abandoned");
  await uploadPart(bench.client, upload, 1, {
    payload: bench.partOf(Buffer.alloc(LAST_PART, "1")),
    signal: bench.signal,
  });
  return upload;
}

async function countParts({ client }: Bench, upload: Awaited<ReturnType<typeof looseUpload>>): Promise<number> {
  let count = 0;
  try {
    for await (const { items } of listParts(client, upload)) count += items.length;
    return count;
  } catch (error) {
    // where parts may not be listed, that was said before
    if (failedWith(error, 404, 403)) return 0;
    throw error;
  }
}
