import { fails, holds, type Outcome } from "../../doctor/probe.ts";
import { expectRoot } from "../answers.ts";
import { listObjects } from "../listing.ts";
import type { Bench } from "./bench.ts";
import { type BucketProbe, vital, wanted } from "./probe.ts";

const group = "Listing";

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
  const key = bench.key("small");
  for await (const { items } of listObjects(bench.client, bench.prefix)) {
    if (items.some((item) => item.key === key && item.size > 0)) return holds();
  }
  return fails("An object that was stored a moment ago is not among them.");
}

async function listsInPages(bench: Bench): Promise<Outcome> {
  const keys = [await bench.put("page-1", "1"), await bench.put("page-2", "2")];
  const first = await readPage(bench, null);
  const second = first.next === null ? null : await readPage(bench, first.next);
  const found = [...first.keys, ...(second?.keys ?? [])];
  return found.join(" ") === keys.join(" ")
    ? holds()
    : fails(`Two objects, a page each, were listed as ${found.length}.`);
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
