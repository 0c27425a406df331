import { spawn } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Build } from "./build.ts";
import { Contender, OWN_FLAGS, type Place } from "./contender.ts";
import { report, type Series } from "./figures.ts";
import { ROUNDS } from "./rounds.ts";

/** What people have in a folder: so many files, of so many bytes each. */
const COUNT = 1000;
const SIZE = 100_000;

/** The usual way to send a folder without a tool for it. */
const LOOP = 'for file in "$0"/*; do curl -sSf -F "upload=@$file" "$1" -o /dev/null || exit 1; done';

/** Sends a folder of new files by `fixity put` and by a shell loop over curl, in turns, to one server. */
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
      [loop, (folder: string) => ["sh", "-c", LOOP, folder, endpoint]],
    ] as const) {
      const folder = await newFiles(parent);
      const seconds = await timeOf(command(folder));
      if (round > 0) values.push(COUNT / seconds);
      await rm(folder, { recursive: true });
    }
  }
  report(`${COUNT} new files of ${SIZE / 1000} kB`, "files per second", [own, loop]);
}

/** Each unlike any other. */
async function newFiles(parent: string): Promise<string> {
  const folder = await mkdtemp(join(parent, "fixity-bench-files-"));
  const bytes = Buffer.alloc(SIZE);
  for (let index = 0; index < COUNT; index++) await writeFile(join(folder, `${index}.bin`), randomFillSync(bytes));
  return folder;
}

/** Seconds from the start of a command to its end, its own start-up included. */
async function timeOf([program = "", ...args]: readonly string[]): Promise<number> {
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return (performance.now() - started) / 1000;
}
