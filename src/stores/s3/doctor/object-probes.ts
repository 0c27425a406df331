import { ByteRange } from "../../../core/byte-range.ts";
import { fails, holds, type Outcome, restricted, untried } from "../../doctor/examine.ts";
import { listObjects } from "../api/listing.ts";
import { deleteObject, headObject, putObject } from "../api/objects.ts";
import { expectRoot, expectTag, failedWith, S3Error } from "../api/s3-error.ts";
import { payloadOf } from "../api/signer.ts";
import { mayRefuseCondition } from "../conditions.ts";
import { openObject } from "../s3-reader.ts";
import { type Bench, type BucketProbe, holdsInTime, vital, wanted, welcome } from "./bench.ts";

const TEXT = "fixity doctor was here.\n";
const OTHER_TEXT = "Something else altogether.\n";

const SMALL_FILES = "Small files";
const LISTING = "Listing";
const CONDITIONS = "Conditions";

export const LATE_HEAD_MEANING: string =
  "Files are stored and acknowledged all the same. Until they are shown, HEAD of their links responds with 404, and a file " +
  "that is sent again is stored once more, with the same bytes.";
const LATE_GET_MEANING =
  "Files are stored and acknowledged all the same. Until they are shown, their links respond with 404, and appends to a " +
  "resumable upload that was created or saved just before are refused with 404: clients must retry or start again.";
export const LATE_LISTING_MEANING: string =
  "Nothing is lost: uploads and downloads work without listings. Cleaning up comes that much later, and gc and verify do " +
  "not see what is that new.";
const UNLISTED_REMEDY =
  "Files are stored and read all the same. If the listing is only late, cleaning up comes later and nothing is lost. If it " +
  "stays incomplete, gc and verify miss files, what crashed servers leave behind stays and costs money, and resumable " +
  "uploads that pause for more than a day may be removed.";

const CONDITION_UNKNOWN = "The server does not know the condition.";
const LOOKS_FIRST_REMEDY =
  "fixity omits it and looks before it stores, with one more request for each small file. Permits for one upload (once) " +
  "are refused.";
const READS_FIRST_REMEDY =
  "fixity reads the upload's record first instead. Two servers that take over an upload at the same moment may not notice " +
  "each other. Permits for one upload (once) are refused.";
const NEVER_MET_REMEDY = `${READS_FIRST_REMEDY} Route each client to one server, run only one, or use a bucket without versioning and object lock.`;

export const OBJECT_PROBES: readonly BucketProbe[] = [
  {
    id: "put",
    group: SMALL_FILES,
    title: "An object is stored (PutObject)",
    otherwise: vital("No file can be stored."),
    run: stores,
  },
  {
    id: "head",
    group: SMALL_FILES,
    title: "Its size and time are reported (HeadObject)",
    needs: ["put"],
    otherwise: vital("fixity could not find out what is stored."),
    run: reportsMetadata,
  },
  {
    id: "head-absent",
    group: SMALL_FILES,
    title: "An absent object is reported as absent (404)",
    otherwise: vital(
      "fixity could not tell an absent object from a forbidden one. S3 responds with 404 if the credentials permit s3:ListBucket.",
    ),
    run: reportsAbsence,
  },
  {
    id: "get",
    group: SMALL_FILES,
    title: "The same bytes are returned (GetObject)",
    needs: ["put"],
    otherwise: vital("No file can be served."),
    run: returnsBytes,
  },
  {
    id: "get-range",
    group: SMALL_FILES,
    title: "So is a range of them",
    needs: ["put"],
    otherwise: vital("Neither ranges nor interrupted reads could be served."),
    run: returnsRange,
  },
  {
    id: "digest-refused",
    group: SMALL_FILES,
    title: "Bytes that changed in transit are refused (x-amz-content-sha256)",
    otherwise: wanted("Changes that TLS does not prevent stay unnoticed. Run fixity verify from time to time."),
    run: refusesWrongDigest,
  },
  {
    id: "delete",
    group: SMALL_FILES,
    title: "An object is removed (DeleteObject)",
    needs: ["put"],
    otherwise: wanted(
      "Removed files and copies that are no longer needed stay and cost money, and so do the objects of this diagnosis.",
    ),
    run: removes,
  },
  {
    id: "versions",
    group: SMALL_FILES,
    title: "A removed object leaves no version behind",
    needs: ["delete"],
    otherwise: welcome(
      "Old versions of tmp/ and uploads/ stay and cost money. Lifecycle rules with NoncurrentVersionExpiration and " +
        'ExpiredObjectDeleteMarker remove them: see "Versioned buckets" in docs/s3.md.',
    ),
    run: keepsNoVersions,
  },
  {
    id: "list",
    group: LISTING,
    title: "Objects are listed (ListObjectsV2)",
    needs: ["put"],
    otherwise: vital("fixity serve does not start like this, and neither gc nor verify finds anything."),
    run: lists,
  },
  {
    id: "list-pages",
    group: LISTING,
    title: "A listing continues on its next page",
    needs: ["list"],
    otherwise: wanted("With more than 1,000 objects, gc and verify would not see all of them."),
    run: listsInPages,
  },
  {
    id: "put-if-absent",
    group: CONDITIONS,
    title: "An existing object is not overwritten (If-None-Match: *)",
    needs: ["put"],
    otherwise: welcome(
      "Concurrent uploads of the same content each write it, with the same bytes. Two servers that create one document at " +
        "the same moment may overwrite each other's text. Permits for one upload (once) are refused.",
    ),
    run: keepsExistingObject,
  },
  {
    id: "put-if-match",
    group: CONDITIONS,
    title: "Of two concurrent changes to an object, one is refused (If-Match)",
    needs: ["put"],
    otherwise: wanted(
      "Nothing keeps two servers from continuing the same upload, or from changing the same document. Route each client to " +
        "one server, or run only one. Permits for one upload (once) are refused.",
    ),
    run: fencesChanges,
  },
];

async function stores(bench: Bench): Promise<Outcome> {
  await bench.put("small", TEXT);
  if (!bench.client.sendsMd5) return holds();
  return restricted("only with Content-MD5, which fixity sends", {
    verdict: "note",
    remedy:
      "Buckets with object lock and a default retention demand it. Nothing needs to be done: fixity learns it from the " +
      "first refusal.",
  });
}

async function reportsMetadata(bench: Bench): Promise<Outcome> {
  const seen = await bench.eventually("objects", () => headObject(bench.client, bench.key("small")));
  if (seen === null) return fails("An object is not shown seconds after it was stored.");
  const { size } = seen.found;
  return size === TEXT.length
    ? holdsInTime(seen, "shown", LATE_HEAD_MEANING)
    : fails(`It has ${size} bytes, not ${TEXT.length}.`);
}

async function reportsAbsence(bench: Bench): Promise<Outcome> {
  const found = await headObject(bench.client, bench.key("never-stored"));
  return found === null ? holds() : fails("An object that was never stored is reported.");
}

async function returnsBytes(bench: Bench): Promise<Outcome> {
  // A new object, because the probe before may have waited for the other one.
  const key = await bench.put("read", TEXT);
  const seen = await bench.eventually("objects", () => readText(bench, key));
  if (seen === null) return fails("An object cannot be read seconds after it was stored: 404.");
  return seen.found === TEXT ? holdsInTime(seen, "shown", LATE_GET_MEANING) : fails("Other bytes are returned.");
}

async function returnsRange(bench: Bench): Promise<Outcome> {
  const range = ByteRange.over({ start: 7, end: 13 });
  const seen = await bench.eventually("objects", () => readText(bench, bench.key("small"), range));
  return seen?.found === TEXT.slice(7, 13) ? holds() : fails("Other bytes are returned than the range has.");
}

async function refusesWrongDigest(bench: Bench): Promise<Outcome> {
  const key = bench.key("changed");
  const payload = { ...payloadOf(TEXT), digest: payloadOf(OTHER_TEXT).digest };
  try {
    await putObject(bench.client, key, payload, { contentType: "text/plain", ifAbsent: false });
  } catch (error) {
    if (!(error instanceof S3Error && error.status === 400)) throw error;
    await bench.settle();
    const left = await headObject(bench.client, key);
    return left === null ? holds() : fails("They are refused, and stored all the same.");
  }
  return fails("Bytes are stored whose SHA-256 is not the one that was signed.");
}

async function removes(bench: Bench): Promise<Outcome> {
  const key = await bench.put("removed", TEXT);
  const isPresent = async () => (await headObject(bench.client, key)) !== null;
  await bench.eventually("objects", async () => ((await isPresent()) ? true : null));
  await deleteObject(bench.client, key);
  const gone = await bench.eventually("objects", async () => ((await isPresent()) ? null : true));
  if (gone === null) return fails("It is still there seconds after the response.");
  return holdsInTime(gone, "gone", "A removed file can be read until then.");
}

/** A bucket with versions reports a delete marker, which it stores in the object's place. */
async function keepsNoVersions(bench: Bench): Promise<Outcome> {
  const key = await bench.put("versioned", TEXT);
  const request = { operation: "DeleteObject", method: "DELETE", key };
  const isMarked = await bench.client.call(request, ({ header }) => header("x-amz-delete-marker") === "true");
  return isMarked ? fails("The bucket keeps the versions of removed objects.") : holds();
}

/** Reads an object in the way blobs are read; `null` if there is none. */
export async function readText(bench: Bench, key: string, range?: ByteRange): Promise<string | null> {
  await using reader = await openObject(bench.client, key, range === undefined ? {} : { range });
  if (reader === null) return null;
  return Buffer.concat(await Array.fromAsync(reader)).toString();
}

/** What the service lists while it runs. */
const MARKS_PRICE =
  "each server lists the marks of damaged files, once in 10 s while it is read from, never while it is idle";

async function lists(bench: Bench): Promise<Outcome> {
  const key = await bench.put("listed", "listed\n");
  const seen = await bench.eventually("listings", () => trueIfListed(bench, [key]));
  if (seen?.lateMs === 0) return holds(MARKS_PRICE);
  if (seen !== null) return holdsInTime(seen, "listed", LATE_LISTING_MEANING);
  return fails("An object that was stored seconds ago is not listed.", wanted(UNLISTED_REMEDY));
}

async function listsInPages(bench: Bench): Promise<Outcome> {
  const keys = [await bench.put("page-1", "1"), await bench.put("page-2", "2")];
  const seen = await bench.eventually("listings", () => trueIfListed(bench, keys));
  if (seen === null) return untried("the listing is too late");
  const first = await readPage(bench, null);
  const second = first.next === null ? null : await readPage(bench, first.next);
  const found = [...first.keys, ...(second?.keys ?? [])];
  return found.join(" ") === keys.join(" ")
    ? holds()
    : fails(`Two objects, on a page each, were listed as ${found.length}.`);
}

/** `null` until all of these objects of the bench are listed. */
async function trueIfListed({ client, prefix }: Bench, keys: readonly string[]): Promise<true | null> {
  const missing = new Set(keys);
  for await (const { items } of listObjects(client, prefix)) {
    for (const { key, size } of items) if (size > 0) missing.delete(key);
  }
  return missing.size === 0 ? true : null;
}

interface ListPage {
  readonly keys: readonly string[];
  readonly next: string | null;
}

/** A page of one object. */
async function readPage({ client, prefix }: Bench, token: string | null): Promise<ListPage> {
  const operation = "ListObjectsV2";
  const query = {
    "list-type": "2",
    "max-keys": "1",
    prefix: `${prefix}page-`,
    ...(token !== null && { "continuation-token": token }),
  };
  return client.call({ operation, method: "GET", key: null, query }, (response) => {
    const root = expectRoot(operation, response, "ListBucketResult");
    return {
      keys: root.children("Contents").map((element) => element.text("Key") ?? ""),
      next: root.text("IsTruncated") === "true" ? root.text("NextContinuationToken") : null,
    };
  });
}

async function keepsExistingObject(bench: Bench): Promise<Outcome> {
  const key = bench.key("conditional");
  const absent = await putIf(bench, key, "first", { "if-none-match": "*" });
  if (absent.outcome === "unknown") return fails(CONDITION_UNKNOWN, { remedy: LOOKS_FIRST_REMEDY });
  if (absent.outcome === "refused")
    return fails("It is refused although there is no object.", { remedy: LOOKS_FIRST_REMEDY });
  const again = await putIf(bench, key, "second", { "if-none-match": "*" });
  if (again.outcome !== "refused") return fails("It is ignored: the object was overwritten.");
  const left = await bench.eventually("objects", () => readText(bench, key));
  if (left === null) return untried("the object cannot be read");
  return left.found === "first" ? holds() : fails("The request was refused, and the object overwritten all the same.");
}

async function fencesChanges(bench: Bench): Promise<Outcome> {
  const key = bench.key("fenced");
  const old = await putText(bench, key, "version 1");
  let current = await putText(bench, key, "version 2");
  const understood: string[] = [];
  for (const [form, write] of TAG_FORMS) {
    const late = await putIf(bench, key, "version 1 again", { "if-match": write(old) });
    if (late.outcome === "unknown") return fails(CONDITION_UNKNOWN, { remedy: READS_FIRST_REMEDY });
    if (late.outcome === "stored") return fails("It is ignored: a change to an old version was accepted.");
    const next = await putIf(bench, key, `version after ${form}`, { "if-match": write(current) });
    if (next.outcome !== "stored") continue;
    understood.push(form);
    current = next.etag;
  }
  if (understood.length === 0) return fails("It is always refused, in either form.", { remedy: NEVER_MET_REMEDY });
  return holds(understood.length === TAG_FORMS.length ? null : `only with the ETag ${understood[0]}`);
}

/**
 * RFC 9110, section 13.1.1, requires quotation marks; Ceph compares the field with the bare tag.
 */
const TAG_FORMS: readonly (readonly [form: string, write: (etag: string) => string])[] = [
  ["in quotation marks", (etag) => etag],
  ["without quotation marks", (etag) => etag.replaceAll('"', "")],
];

/**
 * The outcome of a conditional PutObject; `unknown` if the server states that it knows no
 * conditions (Backblaze B2).
 */
type ConditionalPut =
  | { readonly outcome: "stored"; readonly etag: string }
  | { readonly outcome: "refused" | "unknown" };

async function putIf(
  bench: Bench,
  key: string,
  text: string,
  headers: Readonly<Record<string, string>>,
): Promise<ConditionalPut> {
  try {
    return { outcome: "stored", etag: await putText(bench, key, text, headers) };
  } catch (error) {
    if (!mayRefuseCondition(error)) throw error;
    return { outcome: failedWith(error, 409, 412) ? "refused" : "unknown" };
  }
}

/** Stores a text and returns its entity tag. */
async function putText(
  { client }: Bench,
  key: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const operation = "PutObject";
  return client.call({ operation, method: "PUT", key, headers, body: payloadOf(text) }, (response) =>
    expectTag(operation, response),
  );
}
