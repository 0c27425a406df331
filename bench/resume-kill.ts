import { tmpdir } from "node:os";
import type { Build } from "./build.ts";
import { Contender, type Place, type Start } from "./contender.ts";
import { report, type Series } from "./figures.ts";
import { ResumableUpload } from "./resumable-upload.ts";
import { ROUNDS } from "./rounds.ts";
import { withGateway } from "./s3.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** The server is killed once it has reported this offset, or a higher one, as durable. */
const KILL_OFFSET_BYTES = 880 * MIB;

/** Bytes that are sent first after the restart. */
const FIRST_APPEND_BYTES = 64 * 1024;

/**
 * Measures the time from the restart of a killed server to the first new bytes that it has saved.
 */
export async function resumeKill(build: Build, parent: string): Promise<void> {
  await measure("disk", { build, parent }, { name: "fixity", script: "fixity" });
  await withGateway("resume-kill on S3", async (target) => {
    const start = { name: "fixity", script: "fixity-s3", args: [JSON.stringify(target)] };
    await measure("S3", { build, parent: tmpdir() }, start);
  });
}

async function measure(where: string, place: Place, start: Start): Promise<void> {
  const heads: Series = { name: "the offset is reported", values: [] };
  const appends: Series = { name: "the first new bytes are saved", values: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    const { head, append } = await killOnce(place, start);
    if (round === 0) continue;
    heads.values.push(head);
    appends.values.push(append);
  }
  for (const series of [heads, appends]) {
    report(`Resumed after kill -9 at 900 MiB of 1 GiB on ${where}: from listening until ${series.name}`, "ms", [
      { ...series, name: start.name },
    ]);
  }
}

async function killOnce(place: Place, start: Start): Promise<{ readonly head: number; readonly append: number }> {
  const killed = await Contender.start(place, start);
  using upload = new ResumableUpload(killed.port, "ietf", GIB);
  await upload.create();
  const { promise: isFar, resolve } = Promise.withResolvers<void>();
  upload.onProgress = (offset) => {
    if (offset >= KILL_OFFSET_BYTES) resolve();
  };
  const sending = upload.send(GIB).then(
    () => Promise.reject(new Error("the upload ended before the server was killed")),
    () => null,
  );
  await Promise.race([isFar, sending]);
  await killed[Symbol.asyncDispose]();
  await sending;
  await using again = await Contender.start(place, { ...start, root: killed.root });
  upload.moveTo(again.port);
  const listening = performance.now();
  const offset = await upload.find();
  const head = performance.now() - listening;
  if (offset < KILL_OFFSET_BYTES) throw new Error(`${offset} bytes are left, fewer than were reported as durable`);
  await upload.send(offset + FIRST_APPEND_BYTES);
  const append = performance.now() - listening;
  await upload.send(GIB);
  await again.clear();
  return { head, append };
}
