import { fails, holds, type Outcome, untried } from "../../doctor/examine.ts";
import { expectTag } from "../api/s3-error.ts";
import { mayRefuseCondition } from "../conditions.ts";
import { failedWith } from "../api/s3-error.ts";
import { type Bench, payloadOf } from "./bench.ts";
import { readText } from "./object-probes.ts";
import { type BucketProbe, wanted, welcome } from "./probe.ts";

const group = "Conditions";

const UNKNOWN = "The server does not know the condition.";
const LOOKS_FIRST = "fixity leaves it out, and looks before it stores: one request more for each small file.";
const LOOKS_BEFORE =
  "fixity looks at the upload first instead. Two servers that take one over in the same moment may both go on.";

const NEVER_MET = `${LOOKS_BEFORE} Route each client to one server, run only one, or use a bucket without versioning and object lock.`;

export const CONDITION_PROBES: readonly BucketProbe[] = [
  {
    id: "put-if-absent",
    group,
    title: "What is there is not written over (If-None-Match: *)",
    needs: ["put"],
    otherwise: welcome("Uploads of the same content at the same time all write it, the same bytes each."),
    run: keepsWhatIsThere,
  },
  {
    id: "put-if-match",
    group,
    title: "Of two who change an object, one is refused (If-Match)",
    needs: ["put"],
    otherwise: wanted(
      "Nothing keeps two servers apart that go on with one upload. Send each client to one server, or run only one.",
    ),
    run: fencesChanges,
  },
];

async function keepsWhatIsThere(bench: Bench): Promise<Outcome> {
  const key = bench.key("conditional");
  const absent = await putIf(bench, key, "first", { "if-none-match": "*" });
  if (absent.went === "unknown") return fails(UNKNOWN, { remedy: LOOKS_FIRST });
  if (absent.went === "refused") return fails("It is refused although nothing is there.", { remedy: LOOKS_FIRST });
  const again = await putIf(bench, key, "second", { "if-none-match": "*" });
  if (again.went !== "refused") return fails("It is ignored: the object was written over.");
  const left = await bench.eventually("objects", () => readText(bench, key));
  if (left === null) return untried("the object cannot be read");
  return left.found === "first" ? holds() : fails("It was refused, and written over all the same.");
}

async function fencesChanges(bench: Bench): Promise<Outcome> {
  const key = bench.key("fenced");
  const old = await tagOf(bench, key, "version 1");
  let current = await tagOf(bench, key, "version 2");
  const understood: string[] = [];
  for (const [form, write] of FORMS) {
    const late = await putIf(bench, key, "version 1 again", { "if-match": write(old) });
    if (late.went === "unknown") return fails(UNKNOWN, { remedy: LOOKS_BEFORE });
    if (late.went === "stored") return fails("It is ignored: a change to an old version was taken.");
    const next = await putIf(bench, key, `version after ${form}`, { "if-match": write(current) });
    if (next.went !== "stored") continue;
    understood.push(form);
    current = next.etag;
  }
  if (understood.length === 0) return fails("It is never met, in whatever form.", { remedy: NEVER_MET });
  return holds(understood.length === FORMS.length ? null : `only with the ETag ${understood[0]}`);
}

/** RFC 9110, section 13.1.1, wants quotation marks; Ceph compares without. */
const FORMS: readonly (readonly [form: string, write: (etag: string) => string])[] = [
  ["in quotation marks", (etag) => etag],
  ["without quotation marks", (etag) => etag.replaceAll('"', "")],
];

/** How a conditional PutObject went; `unknown` is the server's word that it knows no such conditions (Backblaze B2). */
type ConditionalPut = { readonly went: "stored"; readonly etag: string } | { readonly went: "refused" | "unknown" };

async function putIf(
  bench: Bench,
  key: string,
  text: string,
  headers: Readonly<Record<string, string>>,
): Promise<ConditionalPut> {
  try {
    return { went: "stored", etag: await tagOf(bench, key, text, headers) };
  } catch (error) {
    if (!mayRefuseCondition(error)) throw error;
    return { went: failedWith(error, 409, 412) ? "refused" : "unknown" };
  }
}

/** Stores a text, and gives its entity tag. */
async function tagOf(
  { client }: Bench,
  key: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const operation = "PutObject";
  return client.call({ operation, method: "PUT", key, headers, body: payloadOf(text) }, (answer) =>
    expectTag(operation, answer),
  );
}
