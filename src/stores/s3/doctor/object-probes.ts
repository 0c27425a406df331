import { ByteRange } from "../../../core/byte-range.ts";
import { fails, holds, type Outcome, restricted } from "../../doctor/examine.ts";
import { openObject } from "../s3-reader.ts";
import { deleteObject, headObject, putObject } from "../api/objects.ts";
import { S3Error } from "../api/s3-error.ts";
import { sha256Hex } from "../api/signer.ts";
import { type Bench, payloadOf } from "./bench.ts";
import { type BucketProbe, holdsInTime, vital, wanted, welcome } from "./probe.ts";

const TEXT = "fixity doctor was here.\n";
const OTHER = "Something else altogether.\n";

const group = "Small files";

export const HEAD_LATE: string =
  "Files are stored and acknowledged all the same. Until they are shown, HEAD of their links answers 404, and a file that is " +
  "sent again is stored once more, with the same bytes.";
const GET_LATE =
  "Files are stored and acknowledged all the same. Until they are shown, their links answer 404, and appends to a resumable " +
  "upload that was created or saved just before are refused with 404: clients have to try again, or begin anew.";

export const OBJECT_PROBES: readonly BucketProbe[] = [
  {
    id: "put",
    group,
    title: "An object is stored (PutObject)",
    otherwise: vital("No file can be stored."),
    run: stores,
  },
  {
    id: "head",
    group,
    title: "Its size and time can be asked for (HeadObject)",
    needs: ["put"],
    otherwise: vital("fixity could not find out what is stored."),
    run: tellsFacts,
  },
  {
    id: "head-absent",
    group,
    title: "Absence is told as absence (404)",
    otherwise: vital(
      "fixity could not tell what is missing from what is forbidden. S3 says 404 to keys with s3:ListBucket.",
    ),
    run: tellsAbsence,
  },
  {
    id: "get",
    group,
    title: "The same bytes come back (GetObject)",
    needs: ["put"],
    otherwise: vital("No file can be served."),
    run: givesBack,
  },
  {
    id: "get-range",
    group,
    title: "A range of them too",
    needs: ["put"],
    otherwise: vital("Neither ranges nor reads that broke off could be served."),
    run: givesRange,
  },
  {
    id: "digest-refused",
    group,
    title: "Bytes that changed on the way are refused (x-amz-content-sha256)",
    otherwise: wanted("Nobody notices on the way what TLS does not. Run fixity verify from time to time."),
    run: refusesWrongDigest,
  },
  {
    id: "delete",
    group,
    title: "An object is removed (DeleteObject)",
    needs: ["put"],
    otherwise: wanted(
      "What is removed, and copies that are no longer needed, stay and cost; the probes' own objects too.",
    ),
    run: removes,
  },
  {
    id: "versions",
    group,
    title: "What is removed is gone (no versions are kept)",
    needs: ["delete"],
    otherwise: welcome(
      "Old versions of tmp/ and uploads/ stay and cost. Lifecycle rules with NoncurrentVersionExpiration and " +
        'ExpiredObjectDeleteMarker remove them: see "Versioned buckets" in docs/s3.md.',
    ),
    run: keepsNoVersions,
  },
];

async function stores(bench: Bench): Promise<Outcome> {
  await bench.put("small", TEXT);
  if (!bench.client.sendsMd5) return holds();
  return restricted("only with Content-MD5, which fixity sends", {
    verdict: "note",
    remedy:
      "Buckets with object lock and a default retention ask for it. Nothing needs to be done: fixity learns it from the " +
      "first refusal.",
  });
}

async function tellsFacts(bench: Bench): Promise<Outcome> {
  const seen = await bench.eventually("objects", () => headObject(bench.client, bench.key("small")));
  if (seen === null) return fails("An object is not there seconds after it was stored.");
  const { size } = seen.found;
  return size === TEXT.length
    ? holdsInTime(seen, "shown", HEAD_LATE)
    : fails(`It has ${size} bytes, not ${TEXT.length}.`);
}

async function tellsAbsence(bench: Bench): Promise<Outcome> {
  const found = await headObject(bench.client, bench.key("never-stored"));
  return found === null ? holds() : fails("An object that was never stored is said to be there.");
}

async function givesBack(bench: Bench): Promise<Outcome> {
  // A new object: the one before may have been waited for already.
  const key = await bench.put("read", TEXT);
  const seen = await bench.eventually("objects", () => readText(bench, key));
  if (seen === null) return fails("An object cannot be read seconds after it was stored: 404.");
  return seen.found === TEXT ? holdsInTime(seen, "shown", GET_LATE) : fails("Other bytes came back than were stored.");
}

async function givesRange(bench: Bench): Promise<Outcome> {
  const range = ByteRange.over({ start: 7, end: 13 });
  const seen = await bench.eventually("objects", () => readText(bench, bench.key("small"), range));
  return seen?.found === TEXT.slice(7, 13) ? holds() : fails("Other bytes came back than were asked for.");
}

async function refusesWrongDigest(bench: Bench): Promise<Outcome> {
  const key = bench.key("changed");
  const payload = { ...payloadOf(TEXT), digest: sha256Hex([Buffer.from(OTHER)]) };
  try {
    await putObject(bench.client, key, payload, { contentType: "text/plain", ifAbsent: false });
  } catch (error) {
    if (!(error instanceof S3Error && error.status === 400)) throw error;
    await bench.settle();
    const left = await headObject(bench.client, key);
    return left === null ? holds() : fails("They were refused, and stored all the same.");
  }
  return fails("Bytes were stored whose SHA-256 is not the one they were signed with.");
}

async function removes(bench: Bench): Promise<Outcome> {
  const key = await bench.put("removed", TEXT);
  const isThere = async () => (await headObject(bench.client, key)) !== null;
  await bench.eventually("objects", async () => ((await isThere()) ? true : null));
  await deleteObject(bench.client, key);
  const gone = await bench.eventually("objects", async () => ((await isThere()) ? null : true));
  if (gone === null) return fails("It is still there seconds after the answer.");
  return holdsInTime(gone, "gone", "A file that was removed can be read until then.");
}

/** A bucket with versions answers a removal with the mark that it has put in the place of the object. */
async function keepsNoVersions(bench: Bench): Promise<Outcome> {
  const key = await bench.put("versioned", TEXT);
  const request = { operation: "DeleteObject", method: "DELETE", key };
  const isMarked = await bench.client.call(request, ({ header }) => header("x-amz-delete-marker") === "true");
  return isMarked ? fails("The bucket keeps the versions of removed objects.") : holds();
}

/** As blobs are read. */
export async function readText(bench: Bench, key: string, range?: ByteRange): Promise<string | null> {
  await using reader = await openObject(bench.client, key, range === undefined ? {} : { range });
  if (reader === null) return null;
  return Buffer.concat(await Array.fromAsync(reader)).toString();
}
