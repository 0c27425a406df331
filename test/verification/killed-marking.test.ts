/** A server that is killed while it finds a damaged file and marks it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { type Deed, killAtCalls, MarkedPlace } from "./marked-place.ts";

const KIB = 1024;

describe("a server killed at any call on files while it marks", needing("strace"), () => {
  for (const size of [KIB, 600 * KIB]) {
    test(`a damaged file of ${size / KIB} KiB serves nothing wrong afterwards, and an upload repairs it`, async (t) => {
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      const deed: Deed = {
        madeOf: ["openat", "pread64", "mkdir", "pwrite64", "fsync", "rename", "close"],
        make: () => MarkedPlace.make([random.bytes(size)]),
        prepare: async () => {},
        act: (place, { port }) => place.read(port),
      };
      const kills = await killAtCalls(deed, 3, random);
      t.diagnostic(`${kills.length} kills: ${kills.join(" ")}`);
      assert.ok(kills.length >= (isFullRun ? 10 : 1));
    });
  }
});
