import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { resumeRounds } from "./rounds.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? (isFullRun ? 170 : 10));

test(`on a disk: ${ROUNDS} uploads through cuts, kills and changes of the instance`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    await resumeRounds({ rounds: ROUNDS, start: () => ServerProcess.start({ dir }) });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
