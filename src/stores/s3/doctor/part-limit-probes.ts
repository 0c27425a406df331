import { formatSize } from "../../../base/format-size.ts";
import { fails, holds, type Outcome } from "../../doctor/examine.ts";
import { uploadPart } from "../api/multipart.ts";
import { PartPlan } from "../send/part-writer.ts";
import { S3Error } from "../api/s3-error.ts";
import { BufferPool } from "../buffers/buffer-pool.ts";
import { type Bench, LAST_PART } from "./bench.ts";
import { type BucketProbe, wanted } from "./probe.ts";

const group = "Large files";

/** Providers limit the parts of an upload in various ways, below the 10,000 of AWS (Scaleway: 1,000). */
export const PART_LIMIT_PROBES: readonly BucketProbe[] = [
  {
    id: "part-limit",
    group,
    title: "As many parts are taken as UPLOAD_BUCKET_MAX_PARTS says",
    needs: ["multipart"],
    otherwise: tooFew,
    run: takesLastNumber,
  },
  {
    id: "complete-limit",
    group,
    title: "So many parts become one object",
    needs: ["complete"],
    otherwise: tooFew,
    run: completesSoMany,
  },
];

function tooFew({ options: { maxParts } }: Bench) {
  return wanted(
    `Large files could not be stored, if they need ${maxParts} parts. Set a lower UPLOAD_BUCKET_MAX_PARTS.`,
  );
}

/** Sends a small part with the last number that fixity would use. */
async function takesLastNumber(bench: Bench): Promise<Outcome> {
  const { maxParts } = bench.options;
  const refusal = await refusalOfNumber(bench, maxParts);
  if (refusal === null) return holds();
  const most = await largestTaken(maxParts, async (number) => (await refusalOfNumber(bench, number)) === null);
  bench.mostParts = most;
  return limited(
    bench,
    most,
    `A part with the number ${maxParts} was refused (${said(refusal)}); ${most} is the last one that is taken.`,
  );
}

/** Parts are often checked only when they are put together: their numbers, or how many there are. */
async function completesSoMany(bench: Bench): Promise<Outcome> {
  const { mostParts } = bench;
  const byNumber = await refusalOfCompletion(bench, mostParts);
  // Where an upload may not begin with another number than 1, nothing can be told from that.
  if (byNumber !== null && (await refusalOfCompletion(bench, 2)) === null) {
    const most = await largestTaken(mostParts, async (number) => (await refusalOfCompletion(bench, number)) === null);
    return limited(
      bench,
      most,
      `A completion with the part number ${mostParts} was refused (${said(byNumber)}); ${most} is the last one that is taken.`,
    );
  }
  const refusalOfCount = await beginCounting(bench);
  const usual = await refusalOfCount(2);
  const byCount = await refusalOfCount(mostParts);
  if (usual === null || byCount === null || said(usual) === said(byCount)) return holds();
  const most = await largestTaken(mostParts, async (count) => {
    const refusal = await refusalOfCount(count);
    return refusal !== null && said(refusal) === said(usual);
  });
  return limited(
    bench,
    most,
    `A completion that names ${mostParts} parts was refused (${said(byCount)}); it may name ${most} at most.`,
  );
}

/** How a part with this number is refused; `null` where it is taken. */
async function refusalOfNumber(bench: Bench, number: number): Promise<S3Error | null> {
  const upload = await bench.looseUpload();
  const send = async (as: number) => {
    const payload = bench.partOf(Buffer.alloc(LAST_PART, "1"));
    await uploadPart(bench.client, upload, as, { payload, signal: bench.signal });
  };
  try {
    await send(number);
    return null;
  } catch (error) {
    if (!(error instanceof S3Error) || error.code === "NoSuchUpload") throw error;
    // A server that fails at this number alone refuses it in its own way.
    if (!error.isRefusal) await send(1);
    return error;
  }
}

/** How a completion with a single part of this number is refused; `null` where it becomes an object. */
async function refusalOfCompletion(bench: Bench, number: number): Promise<S3Error | null> {
  const upload = bench.transfer(`numbered-${number}`);
  try {
    const part = await upload.upload(number, bench.partOf(Buffer.alloc(LAST_PART, "1")), bench.signal);
    await upload.complete([part]);
    return null;
  } catch (error) {
    if (error instanceof S3Error && error.isRefusal) return error;
    throw error;
  }
}

/**
 * Begins an upload of one part. The function names so many parts in a completion, of which only that one is there, and
 * returns how it is refused: otherwise than usual where they are too many. `null` once the server has made an object of it.
 */
async function beginCounting(bench: Bench): Promise<(count: number) => Promise<S3Error | null>> {
  const upload = bench.transfer("counted");
  const { etag } = await upload.upload(1, bench.partOf(Buffer.alloc(LAST_PART, "1")), bench.signal);
  let isMade = false;
  return async (count) => {
    if (isMade) return null;
    const parts = Array.from({ length: count }, (_, index) => ({ number: index + 1, etag, size: LAST_PART }));
    try {
      await upload.complete(parts);
      isMade = true;
      return null;
    } catch (error) {
      if (error instanceof S3Error && error.isRefusal) return error;
      throw error;
    }
  };
}

/** The largest number that is taken, by bisection; 1 is, and `refused` is not. */
async function largestTaken(refused: number, isTaken: (number: number) => Promise<boolean>): Promise<number> {
  let [low, high] = [1, refused];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isTaken(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function limited({ options }: Bench, most: number, found: string): Outcome {
  const { partSize, fixedPartSize, maxParts, memory } = options;
  const { maxBufferBytes: largestPart } = new BufferPool(memory);
  const { largestFile } = new PartPlan({ partSize, fixedPartSize, maxParts: most, largestPart }, undefined);
  const fits = formatSize(most * partSize);
  return fails(
    `${found} With UPLOAD_BUCKET_MAX_PARTS=${maxParts} files above ${fits} fail after their bytes were sent.`,
    wanted(
      `Set UPLOAD_BUCKET_MAX_PARTS=${most}: files can then have ${formatSize(largestFile)}. For larger ones raise ` +
        `UPLOAD_BUCKET_PART_SIZE, which is ${formatSize(partSize)}, and UPLOAD_MEMORY with it.`,
    ),
  );
}

function said(error: S3Error): string {
  return error.code ?? String(error.status ?? "no answer");
}
