import { formatSize } from "../../../base/format-size.ts";
import { fails, holds, type Outcome } from "../../doctor/examine.ts";
import type { Part } from "../api/multipart.ts";
import { copyObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { type Bench, LAST_PART } from "./bench.ts";
import { FIRST_PART, textAtBorder } from "./multipart-probes.ts";
import { readText } from "./object-probes.ts";
import { type BucketProbe, vital, wanted } from "./probe.ts";

const group = "Copies inside the bucket";

export const COPY_PROBES: readonly BucketProbe[] = [
  {
    id: "copy",
    group,
    title: "An object is copied (CopyObject)",
    needs: ["put"],
    otherwise: vital("Files larger than a part whose digest the sender does not announce could not be stored."),
    run: copies,
  },
  {
    id: "copy-parts",
    group,
    title: "An object is copied in parts (UploadPartCopy)",
    needs: ["complete"],
    otherwise: ({ options: { copyLimits } }) =>
      wanted(
        "Large files are copied whole, which takes longer on some providers, and " +
          `${formatSize(copyLimits.wholeAtMost)} at most where the sender does not announce their digest.`,
      ),
    run: copiesParts,
  },
  {
    id: "unequal-parts",
    group,
    title: "Parts may differ in size",
    needs: ["copy-parts"],
    otherwise: ({ options: { partSize }, mostParts }) =>
      wanted(
        `Set UPLOAD_BUCKET_EQUAL_PARTS=yes: files can then have ${mostParts} parts of UPLOAD_BUCKET_PART_SIZE ` +
          `(${formatSize(partSize)}), ${formatSize(mostParts * partSize)} in all.`,
      ),
    run: takesUnequalParts,
  },
];

/** Copies an object right after it was stored, as a file is that has just been completed. */
async function copies(bench: Bench): Promise<Outcome> {
  const text = "to be copied\n";
  const from = await bench.put("source", text);
  const to = bench.key("copy");
  try {
    await copyObject(bench.client, from, { to });
  } catch (error) {
    if (!(failedWith(error, 404) && error.code === "NoSuchKey")) throw error;
    return fails("An object that was stored a moment ago is not found by the copy (404 NoSuchKey).");
  }
  const copy = await bench.eventually("objects", () => readText(bench, to));
  return copy?.found === text ? holds() : fails("The copy is not what was copied.");
}

async function copiesParts(bench: Bench): Promise<Outcome> {
  const end = FIRST_PART + LAST_PART;
  await copyRanges(bench, "copy-of-parts", [
    [0, FIRST_PART],
    [FIRST_PART, end],
  ]);
  const text = await textAtBorder(bench, bench.key("copy-of-parts"));
  return text === "11112222" ? holds() : fails("The copy is not what was copied.");
}

async function takesUnequalParts(bench: Bench): Promise<Outcome> {
  try {
    await copyRanges(bench, "unequal", [
      [0, FIRST_PART],
      [0, FIRST_PART + LAST_PART],
      [0, LAST_PART],
    ]);
    return holds();
  } catch (error) {
    if (!(error instanceof S3Error && error.isRefusal)) throw error;
    return bench.options.fixedPartSize
      ? fails(`Refused (${error.code}).`, {
          verdict: "note",
          remedy: "UPLOAD_BUCKET_EQUAL_PARTS=yes is set, as it must be.",
        })
      : fails(`Refused (${error.code}).`);
  }
}

/** Makes an object of ranges of the large one, from their first byte to the one behind their last. */
async function copyRanges(
  bench: Bench,
  name: string,
  ranges: readonly (readonly [start: number, end: number])[],
): Promise<void> {
  const upload = bench.transfer(name);
  const parts: Part[] = [];
  for (const [start, end] of ranges) {
    const source = { key: bench.key("large"), first: start, last: end - 1, signal: bench.signal };
    parts.push(await upload.copy(parts.length + 1, source));
  }
  await upload.complete(parts);
}
