/**
 * A process with a disk store that executes steps: `node store-child.ts <store folder>`. It reads
 * each step as a line of JSON and prints the outcome as another, until its input ends. `StoreProcess`
 * drives it.
 */
import { openSync, readdirSync, writeSync } from "node:fs";
import { devNull } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Committed, StagedBlob } from "../../src/core/staged-blob.ts";
import { type Digest, FixityError } from "../../src/index.ts";
import { diskStore } from "../../src/disk.ts";
import { content, digestOf, keep, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { type UploadStep, UploadSteps } from "./upload-steps.ts";

/** The steps that a store process executes. `size` and `seed` describe content, see `content`. */
export type Step =
  | { readonly do: "check" | "collect" | "staged" | "close" | "become-nobody" }
  | {
      readonly do: "put" | "repair" | "stage" | "read" | "confirm" | "remove";
      readonly size: number;
      readonly seed?: number;
    }
  | { readonly do: "put-together"; readonly size: number; readonly seeds: readonly number[] }
  | DocumentStep
  | UploadStep;

/** A change of a document, as a step. */
export type DocumentStep =
  | { readonly do: "write-document"; readonly name: string; readonly text: string; readonly ifMatch?: string }
  | { readonly do: "remove-document"; readonly name: string };

/** The outcome of a step. */
export interface StepResult {
  /** The result, as far as JSON can express it. */
  readonly value?: unknown;
  /** The code and message of the failure, and the (negative) errno of its cause. */
  readonly code?: string;
  readonly message?: string;
  readonly errno?: number | null;
  /** The messages that the store logged during the step. */
  readonly logged: readonly string[];
}

const [, , root = ""] = process.argv;
let logged: string[] = [];
const store = diskStore({ root, log: (message) => logged.push(message) });
const held: StagedBlob[] = [];
const acknowledgements = openSync(devNull, "w");
const uploads = new UploadSteps(store, (what) => void writeSync(acknowledgements, what));

async function run(step: Step): Promise<unknown> {
  if (step.do === "upload") return uploads.run(step);
  if (step.do === "write-document" || step.do === "remove-document") return change(step);
  if (step.do === "put-together") return Promise.all(step.seeds.map((seed) => put(content(step.size, seed))));
  return "size" in step ? runWith(content(step.size, step.seed), step.do) : runAlone(step.do);
}

async function runWith(
  bytes: Uint8Array,
  what: "put" | "repair" | "stage" | "read" | "confirm" | "remove",
): Promise<unknown> {
  if (what === "put") return put(bytes);
  if (what === "repair") return repair(bytes);
  if (what === "read") return read(digestOf(bytes));
  if (what === "confirm") return store.confirm(digestOf(bytes));
  if (what === "remove") return store.remove(digestOf(bytes));
  const staged = await store.stage();
  held.push(staged);
  await writeAll(staged, bytes);
  return null;
}

async function runAlone(what: "check" | "collect" | "staged" | "close" | "become-nobody"): Promise<unknown> {
  if (what === "collect") return store.collect();
  if (what === "staged") return filesIn(join(root, "staging"));
  if (what === "check") await store.check();
  if (what === "close") await store[Symbol.asyncDispose]();
  if (what === "become-nobody") becomeNobody();
  return null;
}

function becomeNobody(): void {
  process.setgroups?.([]);
  process.setgid?.(65_534);
  process.setuid?.(65_534);
}

/** Marks an acknowledgement in a trace, by writing the digest in hex to the null device. */
async function put(bytes: Uint8Array): Promise<Committed> {
  const committed = await keep(store, bytes);
  writeSync(acknowledgements, digestOf(bytes).hex);
  return committed;
}

/** Says in a trace when it acknowledges, like {@link put}. */
async function change(step: DocumentStep): Promise<unknown> {
  const { documents } = store;
  const done =
    step.do === "write-document" ? documents?.write(step.name, step.text, step) : documents?.remove(step.name);
  const result = await done;
  writeSync(acknowledgements, step.name);
  return result;
}

/** Commits bytes in the place of a stored blob that counts as damaged. */
async function repair(bytes: Uint8Array): Promise<Committed> {
  await using staged = await store.stage();
  await writeAll(staged, bytes);
  return await staged.commit(digestOf(bytes), { judge: () => "damaged" });
}

async function read(digest: Digest): Promise<"whole" | "wrong" | null> {
  await using reader = await store.open(digest);
  if (reader === null) return null;
  return digestOf(await readAll(reader)).equals(digest) ? "whole" : "wrong";
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}

async function resultOf(step: Step): Promise<StepResult> {
  logged = [];
  try {
    return { value: await run(step), logged };
  } catch (error) {
    if (!(error instanceof FixityError)) return { code: String(error), logged };
    const { code, message, cause } = error;
    return { code, message, errno: cause instanceof Error && "errno" in cause ? Number(cause.errno) : null, logged };
  }
}

writeSync(1, "ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  writeSync(1, `${JSON.stringify(await resultOf(JSON.parse(line) as Step))}\n`);
}
