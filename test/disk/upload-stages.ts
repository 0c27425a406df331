import assert from "node:assert/strict";
import type { BlobStore } from "../../src/core/store.ts";
import { UploadId } from "../../src/core/upload-id.ts";
import { assertKept, content, digestOf } from "../../src/stores/contract/tools.ts";
import { append, assertGone, assertSaved, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import type { StoreFolder } from "../helpers/store-folder.ts";
import { pathOf, type TracedCall } from "../helpers/trace.ts";
import type { UploadStep } from "../helpers/upload-steps.ts";

const WHOLE = { size: 600_000, seed: 1 };
export const BYTES: Buffer = content(WHOLE.size, WHOLE.seed);
const HALF = 300_000;

/** Everything that an upload does to files. */
export const CALLS: readonly string[] =
  "openat mkdir write pwrite64 writev pwritev fsync fdatasync ftruncate fchmod link rename unlink rmdir unlinkat close".split(
    " ",
  );

type State = { readonly record: string; readonly offset: number } | null;

/** A step of an upload's life, what goes before it, and the states that it leads from and to. */
export interface Stage {
  /** `renew` follows the commit. */
  readonly call: "create" | "save" | "commit" | "renew" | "conclude" | "remove";
  readonly old: State;
  readonly new: State;
}

const HALVED: State = { record: "half", offset: HALF };
const WRITTEN: State = { record: "whole", offset: WHOLE.size };

export const STAGES: readonly Stage[] = [
  { call: "create", old: null, new: { record: "begun", offset: 0 } },
  { call: "save", old: HALVED, new: WRITTEN },
  { call: "commit", old: WRITTEN, new: WRITTEN },
  { call: "renew", old: WRITTEN, new: { record: "stored", offset: WHOLE.size } },
  { call: "conclude", old: WRITTEN, new: { record: "done", offset: 0 } },
  { call: "remove", old: WRITTEN, new: null },
];

/** The steps of an upload up to one, without it. */
export function stepsBefore(call: Stage["call"], id: string): UploadStep[] {
  const upload = { do: "upload", id } as const;
  if (call === "create") return [];
  const begun: UploadStep[] = [
    { ...upload, call: "create", record: "begun" },
    { ...upload, call: "hold" },
    { ...upload, call: "write", of: WHOLE, from: 0, to: HALF },
    { ...upload, call: "save", record: "half" },
    { ...upload, call: "write", of: WHOLE, from: HALF, to: WHOLE.size },
  ];
  if (call === "save") return begun;
  const saved: UploadStep[] = [...begun, { ...upload, call: "save", record: "whole" }];
  return call === "conclude" || call === "renew" ? [...saved, { ...upload, call: "commit", of: WHOLE }] : saved;
}

export function stepOf(call: Stage["call"], id: string): UploadStep {
  const upload = { do: "upload", id } as const;
  if (call === "create") return { ...upload, call, record: "begun" };
  if (call === "save") return { ...upload, call, record: "whole" };
  if (call === "commit") return { ...upload, call, of: WHOLE };
  if (call === "renew") return { ...upload, call, record: "stored" };
  return call === "remove" ? { ...upload, call } : { ...upload, call, record: "done" };
}

/** A call on the store's files: the nth of its name in its thread, as strace counts. */
export type Place = `${string}:${number}`;

export function placesOf(calls: readonly TracedCall[], { path }: Pick<StoreFolder, "path">): Set<Place> {
  const counts = new Map<string, number>();
  const places = new Set<Place>();
  for (const call of calls) {
    const counted = `${call.thread} ${call.name}`;
    const nth = (counts.get(counted) ?? 0) + 1;
    counts.set(counted, nth);
    if (pathOf(call)?.startsWith(path)) places.add(`${call.name}:${nth}`);
  }
  return places;
}

/** What there is of an upload is one state or the other, and goes on from there to the blob that it was to be. */
export async function proveUpload(store: BlobStore, hex: string, stage: Stage): Promise<void> {
  const uploads = uploadsOf(store);
  const id = UploadId.parse(hex);
  const found = await uploads.read(id);
  const state = found === null ? null : { record: found.record, offset: found.offset };
  assert.ok(
    [stage.old, stage.new].some((one) => JSON.stringify(one) === JSON.stringify(state)),
    JSON.stringify(state),
  );
  if (state === null) {
    await assertGone(uploads, id);
    return;
  }
  if (state.record === "done") {
    await assertKept(store, BYTES);
  } else {
    await assertSaved(uploads, id, { bytes: BYTES.subarray(0, state.offset), record: state.record });
    await append(uploads, id, { bytes: BYTES.subarray(state.offset), record: "all" });
    await using held = await take(uploads, id);
    await held.commit(digestOf(BYTES));
    await assertKept(store, BYTES);
    await held.conclude("ended");
    assert.equal((await uploads.read(id))?.record, "ended");
  }
  const taken = await uploads.hold(id);
  await using held = taken?.status === "held" ? taken : null;
  await (held ?? taken)?.remove();
}
