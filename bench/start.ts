import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../test/helpers/free-port.ts";

/**
 * Milliseconds from the start of the process to the first response of `/healthz`, one per round.
 */
export async function startTimes(parent: string, rounds: number): Promise<number[]> {
  const values: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const root = await mkdtemp(join(parent, "fixity-bench-"));
    const port = await freePort();
    const started = performance.now();
    const child = spawn(process.execPath, [new URL("../src/cli/main.ts", import.meta.url).pathname, "serve"], {
      env: { ...process.env, PORT: String(port), UPLOAD_DIR: root },
      stdio: "ignore",
    });
    await firstAnswer(port);
    if (round > 0) values.push(performance.now() - started);
    child.kill();
    await once(child, "exit");
    await rm(root, { recursive: true, force: true });
  }
  return values;
}

async function firstAnswer(port: number): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/healthz`)).ok) return;
    } catch {
      // The server does not listen yet.
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
  throw new Error("no answer from the server");
}
