import { fails, holds, type Outcome } from "../../doctor/probe.ts";
import { expectTag } from "../answers.ts";
import { failedWith } from "../s3-error.ts";
import { type Bench, payloadOf } from "./bench.ts";
import { readText } from "./object-probes.ts";
import { type BucketProbe, wanted, welcome } from "./probe.ts";

const group = "Conditions";

/** Statuses by which a server says that it does not know a condition (Backblaze B2: 501). */
const UNKNOWN = [400, 501] as const;

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
    otherwise: wanted("Resume uploads on the server that began them only: route by client, or run one server."),
    run: fencesChanges,
  },
];

async function keepsWhatIsThere(bench: Bench): Promise<Outcome> {
  const key = bench.key("conditional");
  const absent = await putIf(bench, key, "first", { "if-none-match": "*" });
  const remedy = "fixity leaves it out, and looks before it stores: one request more for each small file.";
  if (absent.went === "unknown") return fails("The server does not know the condition.", { remedy });
  if (absent.went === "refused") return fails("It is refused although nothing is there.", { remedy });
  const again = await putIf(bench, key, "second", { "if-none-match": "*" });
  if (again.went !== "refused") return fails("It was ignored: the object was written over.");
  return (await readText(bench, key)) === "first" ? holds() : fails("It was refused, and written over all the same.");
}

/** Which form of the entity tag is understood: RFC 9110 wants quotation marks, Ceph compares without. */
async function fencesChanges(bench: Bench): Promise<Outcome> {
  const key = bench.key("fenced");
  const begun = await putIf(bench, key, "version 1", {});
  const stale = begun.etag ?? "";
  const second = await putIf(bench, key, "version 2", {});
  const understood: string[] = [];
  let isKnown = false;
  let current = second.etag ?? "";
  for (const [form, write] of FORMS) {
    const late = await putIf(bench, key, "version 1 again", { "if-match": write(stale) });
    if (late.went === "stored") return fails("It was ignored: a change to an old version was taken.");
    const next = await putIf(bench, key, `version after ${form}`, { "if-match": write(current) });
    isKnown ||= late.went !== "unknown" && next.went !== "unknown";
    if (next.went !== "stored") continue;
    understood.push(form);
    current = next.etag ?? "";
  }
  if (!isKnown) return fails("The server does not know the condition.");
  if (understood.length === 0) return fails("It is never met, in whatever form the ETag is sent.");
  return holds(understood.length === FORMS.length ? null : `only with the ETag ${understood[0]}`);
}

const FORMS: readonly (readonly [form: string, write: (etag: string) => string])[] = [
  ["in quotation marks", (etag) => etag],
  ["without quotation marks", (etag) => etag.replaceAll('"', "")],
];

interface ConditionalPut {
  readonly went: "stored" | "refused" | "unknown";
  readonly etag: string | null;
}

async function putIf(
  { client }: Bench,
  key: string,
  text: string,
  headers: Readonly<Record<string, string>>,
): Promise<ConditionalPut> {
  const operation = "PutObject";
  try {
    const etag = await client.call({ operation, method: "PUT", key, headers, body: payloadOf(text) }, (answer) =>
      expectTag(operation, answer),
    );
    return { went: "stored", etag };
  } catch (error) {
    if (failedWith(error, 412, 409)) return { went: "refused", etag: null };
    if (failedWith(error, ...UNKNOWN)) return { went: "unknown", etag: null };
    throw error;
  }
}
