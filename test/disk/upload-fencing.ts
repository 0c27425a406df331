/** A request for an upload that is stopped before any of its file-system calls, while another instance takes it over. */
import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import type { BlobStore, UploadId } from "../../src/index.ts";
import { newName, thisProcess } from "../../src/base/process-identity.ts";
import { fencedCode, type Proof, type Successor, takeOver, uploadsOver } from "../helpers/fencing.ts";
import { mapConcurrent } from "../helpers/map-concurrent.ts";
import { Random } from "../helpers/random.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { GatedUser } from "./gated-calls.ts";

const { diskStore } = await import("../../src/disk.ts");

const SAVED = 100_000;
const BYTES = new Random(3).bytes(700_000);
const OTHER = Buffer.concat([BYTES.subarray(0, SAVED), new Random(4).bytes(50_000)]);

/** How the upload was left before: by an orderly end, or by a process that was killed. */
export type Left = "released" | "by a dead process";

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 200_000) yield bytes.slice(start, start + 200_000);
}

async function prepared(folder: StoreFolder, store: BlobStore, left: Left): Promise<UploadId> {
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({});
  await uploads.append(id, { offset: 0, source: [BYTES.slice(0, SAVED)], completes: false });
  if (left === "released") return id;
  const token = (await folder.uploadFiles(id.hex))?.find((name) => name.startsWith("1-free-")) ?? assert.fail();
  const dead = newName({ ...thisProcess(), pid: 2 ** 30, start: "1" });
  await rename(join(folder.upload(id.hex), token), join(folder.upload(id.hex), `1-held-${dead}`));
  return id;
}

/** One request, stopped at one call. @returns the calls it made, and what came of it */
async function stoppedAt(stopAt: number, successor: Successor, left: Left) {
  await using folder = await StoreFolder.make();
  await using first = diskStore({ root: folder.path, log: () => null });
  await using second = diskStore({ root: folder.path, log: () => null });
  const id = await prepared(folder, first, left);
  let proof: Proof = null;
  const takeover = { successor, id, saved: SAVED, content: OTHER };
  const user = new GatedUser(stopAt, async () => void (proof = await takeOver(second, takeover)));
  const append = { offset: SAVED, source: pieces(BYTES.subarray(SAVED)), completes: true };
  const [result] = await Promise.allSettled([user.run(() => uploadsOver(first).append(id, append))]);
  await user.othersDone;
  const at = `before call ${stopAt}: ${user.calls[stopAt]}`;
  const code = fencedCode(result, successor, at);
  try {
    await (proof as Proof)?.();
    await folder.wholeBlobs();
  } catch (cause) {
    throw new Error(`${at}: what the successor did has not stayed`, { cause });
  }
  return { calls: user.calls, code };
}

/** Tries every call. @returns how many requests were fenced off, of how many */
export async function proveFencing(successor: Successor, left: Left): Promise<{ fenced: number; of: number }> {
  const { calls, code } = await stoppedAt(Infinity, successor, left);
  assert.equal(code, null);
  const codes = await mapConcurrent(calls.keys(), 24, async (call) => (await stoppedAt(call, successor, left)).code);
  return { fenced: codes.filter((found) => found === "upload-superseded").length, of: calls.length };
}
