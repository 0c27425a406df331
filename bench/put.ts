import { spawn } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Build } from "./build.ts";
import { Contender, OWN_FLAGS, type Place } from "./contender.ts";
import { report, type Series } from "./figures.ts";
import { ROUNDS } from "./rounds.ts";

/** A typical folder. */
const FILE_COUNT = 1000;
const FILE_BYTES = 100_000;

/** The usual way to send a folder without a tool for it. */
const CURL_LOOP = 'for file in "$0"/*; do curl -sSf -F "upload=@$file" "$1" -o /dev/null || exit 1; done';

/**
 * Sends a folder of new files to one server, alternately by `fixity put` and by a shell loop over
 * curl.
 */
export async function putFolder(build: Build, parent: string): Promise<void> {
  const place: Place = { build, parent };
  await using contender = await Contender.start(place, { name: "fixity", script: "fixity" });
  const endpoint = `http://127.0.0.1:${contender.port}/uploads`;
  const own: Series = { name: "fixity put -r", values: [] };
  const loop: Series = { name: "a shell loop over curl", values: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [{ values }, command] of [
      [
        own,
        (folder: string) => [
          process.execPath,
          ...OWN_FLAGS,
          build.command,
          "put",
          "--quiet",
          "-r",
          folder,
          "--to",
          endpoint,
        ],
      ],
      [loop, (folder: string) => ["sh", "-c", CURL_LOOP, folder, endpoint]],
    ] as const) {
      const folder = await newFiles(parent);
      const seconds = await timeOf(command(folder));
      if (round > 0) values.push(FILE_COUNT / seconds);
      await rm(folder, { recursive: true });
    }
  }
  report(`${FILE_COUNT} new files of ${FILE_BYTES / 1000} kB`, "files per second", [own, loop]);
}

/** Creates a folder of distinct files. */
async function newFiles(parent: string): Promise<string> {
  const folder = await mkdtemp(join(parent, "fixity-bench-files-"));
  const bytes = Buffer.alloc(FILE_BYTES);
  for (let index = 0; index < FILE_COUNT; index++) await writeFile(join(folder, `${index}.bin`), randomFillSync(bytes));
  return folder;
}

/** Seconds from the start of a command to its end, including its start-up. */
async function timeOf([program = "", ...args]: readonly string[]): Promise<number> {
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return (performance.now() - started) / 1000;
}
