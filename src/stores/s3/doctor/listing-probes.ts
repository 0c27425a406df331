import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { expectRoot } from "../api/s3-error.ts";
import { listObjects } from "../api/listing.ts";
import type { Bench } from "./bench.ts";
import { type BucketProbe, holdsInTime, vital, wanted } from "./probe.ts";

const group = "Listing";

export const LISTED_LATE: string =
  "Nothing is lost: uploads and downloads work without listings. Cleaning up comes that much later, and gc and verify do not " +
  "see what is so new.";

const NOT_LISTED =
  "Files are stored and read all the same. If the listing is only late, cleaning up comes later and nothing is lost. If it " +
  "stays incomplete, gc and verify miss files, what killed servers leave stays and costs, and resumable uploads that pause " +
  "for more than a day may be removed.";

export const LISTING_PROBES: readonly BucketProbe[] = [
  {
    id: "list",
    group,
    title: "Objects are listed (ListObjectsV2)",
    needs: ["put"],
    otherwise: vital("fixity serve does not start like this, and neither gc nor verify finds anything."),
    run: lists,
  },
  {
    id: "list-pages",
    group,
    title: "A listing goes on where its page ended",
    needs: ["list"],
    otherwise: wanted("With more than 1,000 objects gc and verify would not see them all."),
    run: listsInPages,
  },
];

async function lists(bench: Bench): Promise<Outcome> {
  const key = await bench.put("listed", "listed\n");
  const seen = await bench.eventually("listings", () => ifListed(bench, [key]));
  if (seen !== null) return holdsInTime(seen, "listed", LISTED_LATE);
  return fails("An object that was stored seconds ago is not among them.", wanted(NOT_LISTED));
}

async function listsInPages(bench: Bench): Promise<Outcome> {
  const keys = [await bench.put("page-1", "1"), await bench.put("page-2", "2")];
  const seen = await bench.eventually("listings", () => ifListed(bench, keys));
  if (seen === null) return untried("the listing is too late");
  const first = await readPage(bench, null);
  const second = first.next === null ? null : await readPage(bench, first.next);
  const found = [...first.keys, ...(second?.keys ?? [])];
  return found.join(" ") === keys.join(" ")
    ? holds()
    : fails(`Two objects, a page each, were listed as ${found.length}.`);
}

/** `null` while one of these objects of the bench is not listed. */
async function ifListed({ client, prefix }: Bench, keys: readonly string[]): Promise<true | null> {
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

/** One object at most. */
async function readPage({ client, prefix }: Bench, token: string | null): Promise<ListPage> {
  const operation = "ListObjectsV2";
  const query = {
    "list-type": "2",
    "max-keys": "1",
    prefix: `${prefix}page-`,
    ...(token !== null && { "continuation-token": token }),
  };
  return client.call({ operation, method: "GET", key: null, query }, (answer) => {
    const root = expectRoot(operation, answer, "ListBucketResult");
    return {
      keys: root.children("Contents").map((element) => element.text("Key") ?? ""),
      next: root.text("IsTruncated") === "true" ? root.text("NextContinuationToken") : null,
    };
  });
}
