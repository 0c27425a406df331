import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { resumeRounds } from "./rounds.ts";

test("on a disk: 170 uploads through cuts, kills and changes of the instance", async () => {
  const dir = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    await resumeRounds({ rounds: Number(process.env["ROUNDS"] ?? 170), start: () => ServerProcess.start({ dir }) });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
