/** Uploads that are cut, killed and handed over between servers, on a real gateway. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { race } from "../resumable/race.ts";
import { resumeRounds } from "../resumable/rounds.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
const ROUNDS = Number(process.env["ROUNDS"] ?? (isFullRun ? 30 : 3));

export function roundsSuite(gateway: Gateway): void {
  describe("uploads that are resumed, on S3", () => {
    for (const count of [1, 2]) {
      test(`several clients want one upload at once, on ${count === 1 ? "one instance" : "two"}`, async () => {
        await using place = new S3Place(gateway);
        const stores = Array.from({ length: count }, () => place.store());
        await race(stores, 8);
        for (const store of stores) await store[Symbol.asyncDispose]();
      });
    }

    test(`${ROUNDS} uploads through cuts, kills and changes of the instance`, async () => {
      await using place = new S3Place(gateway);
      const env = {
        ...bucketSettings(gateway),
        UPLOAD_BUCKET_PREFIX: place.prefix,
        UPLOAD_BUCKET_PART_SIZE: "5MiB",
      };
      const start = () => ServerProcess.start({ dir: "/nowhere/data", env });
      await resumeRounds({ rounds: ROUNDS, start, largest: (isFullRun ? 24 : 12) * MIB });
      const { blobs, collected } = place.layout;
      const rest = (await place.objects()).filter(({ key }) => !key.startsWith(blobs) && key !== collected);
      assert.deepEqual(
        rest.filter(({ key }) => !key.includes("/uploads/")),
        [],
      );
    });
  });
}
