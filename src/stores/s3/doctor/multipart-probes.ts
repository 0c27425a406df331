import { formatSize } from "../../../base/format-size.ts";
import { ByteRange } from "../../../core/byte-range.ts";
import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { listMultipartUploads, listParts } from "../api/listing.ts";
import { MIN_PART_BYTES, type MultipartId, uploadPart } from "../api/multipart.ts";
import { headObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { BufferPool } from "../buffers/buffer-pool.ts";
import { PartPlan } from "../send/part-writer.ts";
import { type Bench, type BucketProbe, holdsInTime, LAST_PART_BYTES, vital, wanted } from "./bench.ts";
import { LATE_HEAD_MEANING, LATE_LISTING_MEANING, readText } from "./object-probes.ts";

const group = "Large files";

/** Milliseconds for which aborted parts may still be listed, as some servers do. */
const ABORT_GRACE_MS = 1_000;

const ABANDONED_REMEDY =
  "Parts that crashed servers leave behind stay and cost money. A lifecycle rule with AbortIncompleteMultipartUpload removes them.";

export const MULTIPART_PROBES: readonly BucketProbe[] = [
  {
    id: "multipart",
    group,
    title: "Parts are accepted in any order (CreateMultipartUpload, UploadPart)",
    otherwise: noLargeFiles,
    run: acceptsParts,
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
    title: "Its bytes are in the order of the part numbers",
    needs: ["complete"],
    otherwise: vital("Large files would be stored damaged."),
    run: keepsOrder,
  },
  {
    id: "list-uploads",
    group,
    title: "Unfinished uploads are listed (ListMultipartUploads)",
    otherwise: wanted(ABANDONED_REMEDY),
    run: listsUploads,
  },
  {
    id: "list-parts",
    group,
    title: "Their parts are listed (ListParts)",
    otherwise: wanted(ABANDONED_REMEDY),
    run: listsParts,
  },
  {
    id: "part-limit",
    group,
    title: "Part numbers up to UPLOAD_BUCKET_MAX_PARTS are accepted",
    needs: ["multipart"],
    otherwise: tooFewParts,
    run: acceptsLastNumber,
  },
  {
    id: "complete-limit",
    group,
    title: "That many parts become one object",
    needs: ["complete"],
    otherwise: tooFewParts,
    run: completesMaxParts,
  },
  {
    id: "abort",
    group,
    title: "An abort removes all parts (AbortMultipartUpload)",
    otherwise: wanted(ABANDONED_REMEDY),
    run: aborts,
  },
];

function noLargeFiles({ options: { partSize } }: Bench) {
  return vital(`Only files that fit one part (UPLOAD_BUCKET_PART_SIZE, ${formatSize(partSize)}) could be stored.`);
}

function tooFewParts({ options: { maxParts } }: Bench) {
  return wanted(
    `Large files that need ${maxParts} parts could not be stored. Set UPLOAD_BUCKET_MAX_PARTS to a lower number.`,
  );
}

async function acceptsParts(bench: Bench): Promise<Outcome> {
  const upload = bench.multipartUpload("large");
  const last = await upload.upload(2, bench.partPayload(Buffer.alloc(LAST_PART_BYTES, "2")), bench.signal);
  const first = await upload.upload(1, bench.partPayload(Buffer.alloc(MIN_PART_BYTES, "1")), bench.signal);
  bench.large = { upload, parts: [first, last] };
  return holds();
}

async function completes(bench: Bench): Promise<Outcome> {
  if (bench.large === null) return untried("there are no parts");
  const { upload, parts } = bench.large;
  const size = MIN_PART_BYTES + LAST_PART_BYTES;
  await upload.complete({ parts });
  const seen = await bench.eventually("objects", () => headObject(bench.client, bench.key("large")));
  if (seen === null) return fails("The object is not shown seconds after the response.");
  if (seen.found.size !== size) return fails(`It has ${seen.found.size} bytes, not ${size}.`);
  return holdsInTime(seen, "shown", LATE_HEAD_MEANING);
}

async function keepsOrder(bench: Bench): Promise<Outcome> {
  return (await textAtPartBorder(bench, bench.key("large"))) === "11112222"
    ? holds()
    : fails("They are in another order.");
}

/** The last four bytes of the first part, and the four bytes after them. */
export async function textAtPartBorder(bench: Bench, key: string): Promise<string | null> {
  const range = ByteRange.over({ start: MIN_PART_BYTES - 4, end: MIN_PART_BYTES + 4 });
  return (await bench.eventually("objects", () => readText(bench, key, range)))?.found ?? null;
}

async function listsUploads(bench: Bench): Promise<Outcome> {
  const { uploadId, key } = await bench.unfinishedUpload();
  const seen = await bench.eventually("listings", async () => {
    for await (const { items } of listMultipartUploads(bench.client, bench.prefix)) {
      if (items.some((upload) => upload.uploadId === uploadId && upload.key === key)) return true;
    }
    return null;
  });
  if (seen === null) return fails("One that was begun seconds ago is not listed.");
  return holdsInTime(seen, "listed", LATE_LISTING_MEANING);
}

async function listsParts(bench: Bench): Promise<Outcome> {
  const upload = await bench.unfinishedUpload();
  const seen = await bench.eventually("listings", async () => {
    for await (const { items } of listParts(bench.client, upload)) {
      if (items.some(({ size }) => size === LAST_PART_BYTES)) return true;
    }
    return null;
  });
  if (seen === null) return fails("One that was sent seconds ago is not listed.");
  return holdsInTime(seen, "listed", LATE_LISTING_MEANING);
}

async function aborts(bench: Bench): Promise<Outcome> {
  const upload = await bench.unfinishedUpload();
  await bench.abortUnfinished();
  const gone = await bench.eventually("listings", async () => ((await countParts(bench, upload)) === 0 ? true : null));
  if (gone === null) return fails("The parts are still listed seconds after the response.");
  return gone.lateMs < ABORT_GRACE_MS ? holds() : holdsInTime(gone, "gone", "They stay and cost money until then.");
}

async function countParts({ client }: Bench, upload: MultipartId): Promise<number> {
  let count = 0;
  try {
    for await (const { items } of listParts(client, upload)) count += items.length;
    return count;
  } catch (error) {
    // A probe before this one reports that parts may not be listed.
    if (failedWith(error, 404, 403)) return 0;
    throw error;
  }
}

/**
 * Sends a small part with the last number that fixity uses. Providers limit the parts to fewer than
 * AWS (Scaleway: 1,000).
 */
async function acceptsLastNumber(bench: Bench): Promise<Outcome> {
  const { maxParts } = bench.options;
  const refusal = await refusalOfNumber(bench, maxParts);
  if (refusal === null) return holds();
  const limit = await largestAccepted(maxParts, async (number) => (await refusalOfNumber(bench, number)) === null);
  bench.maxParts = limit;
  return tooManyParts(
    bench,
    limit,
    `A part with the number ${maxParts} is refused (${reasonOf(refusal)}); ${limit} is the last number that is accepted.`,
  );
}

/** Some servers check only at the completion: the part numbers, or how many parts there are. */
async function completesMaxParts(bench: Bench): Promise<Outcome> {
  const { maxParts } = bench;
  const byNumber = await refusalOfCompletion(bench, maxParts);
  // If an upload may not begin with another number than 1, this proves nothing.
  if (byNumber !== null && (await refusalOfCompletion(bench, 2)) === null) {
    const isAccepted = async (number: number) => (await refusalOfCompletion(bench, number)) === null;
    const limit = await largestAccepted(maxParts, isAccepted);
    return tooManyParts(
      bench,
      limit,
      `A completion with the part number ${maxParts} is refused (${reasonOf(byNumber)}); ` +
        `${limit} is the last number that is accepted.`,
    );
  }
  const refusalOfCount = await countedCompletions(bench);
  const usual = await refusalOfCount(2);
  const byCount = await refusalOfCount(maxParts);
  if (usual === null || byCount === null || reasonOf(usual) === reasonOf(byCount)) return holds();
  const limit = await largestAccepted(maxParts, async (count) => {
    const refusal = await refusalOfCount(count);
    return refusal !== null && reasonOf(refusal) === reasonOf(usual);
  });
  return tooManyParts(
    bench,
    limit,
    `A completion that names ${maxParts} parts is refused (${reasonOf(byCount)}); it may name at most ${limit}.`,
  );
}

/** The refusal of a part with this number; `null` if it is accepted. */
async function refusalOfNumber(bench: Bench, number: number): Promise<S3Error | null> {
  const upload = await bench.unfinishedUpload();
  const send = async (number: number) => {
    const payload = bench.partPayload(Buffer.alloc(LAST_PART_BYTES, "1"));
    await uploadPart(bench.client, upload, number, { payload, signal: bench.signal });
  };
  try {
    await send(number);
    return null;
  } catch (error) {
    if (!(error instanceof S3Error) || error.code === "NoSuchUpload") throw error;
    // A server that fails at this number only refuses it in its own way.
    if (!error.isRefusal) await send(1);
    return error;
  }
}

/**
 * The refusal of a completion with a single part of this number; `null` if it becomes an object.
 */
async function refusalOfCompletion(bench: Bench, number: number): Promise<S3Error | null> {
  const upload = bench.multipartUpload(`numbered-${number}`);
  try {
    const part = await upload.upload(number, bench.partPayload(Buffer.alloc(LAST_PART_BYTES, "1")), bench.signal);
    await upload.complete({ parts: [part] });
    return null;
  } catch (error) {
    if (error instanceof S3Error && error.isRefusal) return error;
    throw error;
  }
}

/**
 * An upload of one part, whose completion names more parts than it has and is therefore refused.
 * The function that is returned does so for a count: if that is too large, the refusal differs.
 * `null` once the server made an object of it.
 */
async function countedCompletions(bench: Bench): Promise<(count: number) => Promise<S3Error | null>> {
  const upload = bench.multipartUpload("counted");
  const { etag } = await upload.upload(1, bench.partPayload(Buffer.alloc(LAST_PART_BYTES, "1")), bench.signal);
  let isComplete = false;
  return async (count) => {
    if (isComplete) return null;
    const parts = Array.from({ length: count }, (_, index) => ({ number: index + 1, etag, size: LAST_PART_BYTES }));
    try {
      await upload.complete({ parts });
      isComplete = true;
      return null;
    } catch (error) {
      if (error instanceof S3Error && error.isRefusal) return error;
      throw error;
    }
  };
}

/** The largest number that is accepted, by bisection: 1 is, and `refused` is not. */
async function largestAccepted(refused: number, isAccepted: (number: number) => Promise<boolean>): Promise<number> {
  let [low, high] = [1, refused];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isAccepted(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function tooManyParts({ options }: Bench, limit: number, found: string): Outcome {
  const { partSize, fixedPartSize, maxParts, memory } = options;
  const largestPart = new BufferPool(memory).maxBufferBytes;
  const { largestFile } = new PartPlan({ partSize, fixedPartSize, maxParts: limit, largestPart }, undefined);
  const fits = formatSize(limit * partSize);
  return fails(
    `${found} With UPLOAD_BUCKET_MAX_PARTS=${maxParts}, files above ${fits} fail after their bytes were sent.`,
    wanted(
      `Set UPLOAD_BUCKET_MAX_PARTS=${limit}: files can then have ${formatSize(largestFile)}. For larger ones, raise ` +
        `UPLOAD_BUCKET_PART_SIZE, which is ${formatSize(partSize)}, and UPLOAD_MEMORY with it.`,
    ),
  );
}

function reasonOf(error: S3Error): string {
  return error.code ?? String(error.status ?? "no response");
}
