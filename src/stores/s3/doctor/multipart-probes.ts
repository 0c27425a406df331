import { ByteRange } from "../../../core/byte-range.ts";
import { formatSize } from "../../../base/format-size.ts";
import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { listParts, listMultipartUploads } from "../api/listing.ts";
import type { MultipartId } from "../api/multipart.ts";
import { headObject } from "../api/objects.ts";
import { failedWith } from "../api/s3-error.ts";
import { type Bench, LAST_PART } from "./bench.ts";
import { LISTED_LATE } from "./listing-probes.ts";
import { HEAD_LATE, readText } from "./object-probes.ts";
import { PART_LIMIT_PROBES } from "./part-limit-probes.ts";
import { type BucketProbe, holdsInTime, vital, wanted } from "./probe.ts";

/** Bytes of a part that is not the last one: no fewer are taken ("Amazon S3 multipart upload limits"). */
export const FIRST_PART: number = 5 * 1024 * 1024;

const group = "Large files";
/** Milliseconds after which aborted parts may still be listed, as some servers do. */
const ABORT_MAY_TAKE_MS = 1_000;

const ABANDONED =
  "Parts that dead servers leave stay and cost. A lifecycle rule with AbortIncompleteMultipartUpload removes them.";

export const MULTIPART_PROBES: readonly BucketProbe[] = [
  {
    id: "multipart",
    group,
    title: "Parts are taken, in any order (CreateMultipartUpload, UploadPart)",
    otherwise: noLargeFiles,
    run: takesParts,
  },
  {
    id: "complete",
    group,
    title: "They become one object (CompleteMultipartUpload)",
    needs: ["multipart"],
    otherwise: noLargeFiles,
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
  ...PART_LIMIT_PROBES,
  {
    id: "abort",
    group,
    title: "They are thrown away with all their parts (AbortMultipartUpload)",
    otherwise: wanted(ABANDONED),
    run: aborts,
  },
];

function noLargeFiles({ options: { partSize } }: Bench) {
  return vital(`Only files that fit one part (UPLOAD_BUCKET_PART_SIZE, ${formatSize(partSize)}) could be stored.`);
}

async function takesParts(bench: Bench): Promise<Outcome> {
  const upload = bench.transfer("large");
  const last = await upload.upload(2, bench.partOf(Buffer.alloc(LAST_PART, "2")), bench.signal);
  const first = await upload.upload(1, bench.partOf(Buffer.alloc(FIRST_PART, "1")), bench.signal);
  bench.large = { upload, parts: [first, last] };
  return holds();
}

async function completes(bench: Bench): Promise<Outcome> {
  if (bench.large === null) return untried("there are no parts");
  const { upload, parts } = bench.large;
  const size = FIRST_PART + LAST_PART;
  await upload.complete(parts);
  const seen = await bench.eventually("objects", () => headObject(bench.client, bench.key("large")));
  if (seen === null) return fails("The object is not there seconds after the answer.");
  if (seen.found.size !== size) return fails(`It has ${seen.found.size} bytes, not ${size}.`);
  return holdsInTime(seen, "shown", HEAD_LATE);
}

async function keepsOrder(bench: Bench): Promise<Outcome> {
  return (await textAtBorder(bench, bench.key("large"))) === "11112222" ? holds() : fails("Other bytes stand there.");
}

/** The last four bytes of the first part, and the four behind them. */
export async function textAtBorder(bench: Bench, key: string): Promise<string | null> {
  const range = ByteRange.over({ start: FIRST_PART - 4, end: FIRST_PART + 4 });
  return (await bench.eventually("objects", () => readText(bench, key, range)))?.found ?? null;
}

async function listsUploads(bench: Bench): Promise<Outcome> {
  const { uploadId, key } = await bench.looseUpload();
  const seen = await bench.eventually("listings", async () => {
    for await (const { items } of listMultipartUploads(bench.client, bench.prefix)) {
      if (items.some((upload) => upload.uploadId === uploadId && upload.key === key)) return true;
    }
    return null;
  });
  if (seen === null) return fails("One that was begun seconds ago is not among them.");
  return holdsInTime(seen, "listed", LISTED_LATE);
}

async function listsParts(bench: Bench): Promise<Outcome> {
  const upload = await bench.looseUpload();
  const seen = await bench.eventually("listings", async () => {
    for await (const { items } of listParts(bench.client, upload)) {
      if (items.some(({ size }) => size === LAST_PART)) return true;
    }
    return null;
  });
  if (seen === null) return fails("One that was sent seconds ago is not among them.");
  return holdsInTime(seen, "listed", LISTED_LATE);
}

async function aborts(bench: Bench): Promise<Outcome> {
  const upload = await bench.looseUpload();
  await bench.abortLoose();
  const gone = await bench.eventually("listings", async () => ((await countParts(bench, upload)) === 0 ? true : null));
  if (gone === null) return fails("The parts are still listed seconds after the answer.");
  return gone.lateMs < ABORT_MAY_TAKE_MS ? holds() : holdsInTime(gone, "gone", "They stay and cost until then.");
}

async function countParts({ client }: Bench, upload: MultipartId): Promise<number> {
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
