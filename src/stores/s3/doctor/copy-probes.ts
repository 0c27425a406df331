import { formatSize } from "../../../base/format-size.ts";
import { fails, holds, type Outcome } from "../../doctor/examine.ts";
import { MIN_PART_BYTES, type Part } from "../api/multipart.ts";
import { copyObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { type Bench, type BucketProbe, LAST_PART_BYTES, vital, wanted } from "./bench.ts";
import { textAtPartBorder } from "./multipart-probes.ts";
import { readText } from "./object-probes.ts";

const group = "Copies within the bucket";

export const COPY_PROBES: readonly BucketProbe[] = [
  {
    id: "copy",
    group,
    title: "An object is copied (CopyObject)",
    needs: ["put"],
    otherwise: vital("Files of more than one part could not be stored unless the client announces their digest."),
    run: copies,
  },
  {
    id: "copy-parts",
    group,
    title: "An object is copied in parts (UploadPartCopy)",
    needs: ["complete"],
    otherwise: ({ options: { copyLimits } }) =>
      wanted(
        "Large files are copied whole, which is slower on some providers and limits files whose digest the client does " +
          `not announce to ${formatSize(copyLimits.wholeAtMost)}.`,
      ),
    run: copiesParts,
  },
  {
    id: "unequal-parts",
    group,
    title: "Parts may differ in size",
    needs: ["copy-parts"],
    otherwise: ({ options: { partSize }, maxParts }) =>
      wanted(
        `Set UPLOAD_BUCKET_EQUAL_PARTS=yes: files can then have ${maxParts} parts of UPLOAD_BUCKET_PART_SIZE ` +
          `(${formatSize(partSize)}), ${formatSize(maxParts * partSize)} in all.`,
      ),
    run: acceptsUnequalParts,
  },
];

/** Copies an object right after it was stored, as happens with a completed upload. */
async function copies(bench: Bench): Promise<Outcome> {
  const text = "to be copied\n";
  const from = await bench.put("source", text);
  const to = bench.key("copy");
  try {
    await copyObject(bench.client, { key: from }, { to });
  } catch (error) {
    if (!(failedWith(error, 404) && error.code === "NoSuchKey")) throw error;
    return fails("An object that was stored a moment ago is not found by the copy (404 NoSuchKey).");
  }
  const copy = await bench.eventually("objects", () => readText(bench, to));
  return copy?.found === text ? holds() : fails("The copy differs from its source.");
}

async function copiesParts(bench: Bench): Promise<Outcome> {
  const end = MIN_PART_BYTES + LAST_PART_BYTES;
  await copyRanges(bench, "copy-of-parts", [
    [0, MIN_PART_BYTES],
    [MIN_PART_BYTES, end],
  ]);
  const text = await textAtPartBorder(bench, bench.key("copy-of-parts"));
  return text === "11112222" ? holds() : fails("The copy differs from its source.");
}

async function acceptsUnequalParts(bench: Bench): Promise<Outcome> {
  try {
    await copyRanges(bench, "unequal", [
      [0, MIN_PART_BYTES],
      [0, MIN_PART_BYTES + LAST_PART_BYTES],
      [0, LAST_PART_BYTES],
    ]);
    return holds();
  } catch (error) {
    if (!(error instanceof S3Error && error.isRefusal)) throw error;
    return bench.options.fixedPartSize
      ? fails(`Refused (${error.code}).`, {
          verdict: "note",
          remedy: "UPLOAD_BUCKET_EQUAL_PARTS=yes is set, as it has to be.",
        })
      : fails(`Refused (${error.code}).`);
  }
}

/** Makes an object of ranges of the large one; `end` is exclusive. */
async function copyRanges(
  bench: Bench,
  name: string,
  ranges: readonly (readonly [start: number, end: number])[],
): Promise<void> {
  const upload = bench.multipartUpload(name);
  const parts: Part[] = [];
  for (const [start, end] of ranges) {
    const source = { from: { key: bench.key("large") }, first: start, last: end - 1, signal: bench.signal };
    parts.push(await upload.copy(parts.length + 1, source));
  }
  await upload.complete({ parts });
}
