import type { Build } from "../build.ts";
import { Contender } from "../contender.ts";
import { LargeFile } from "./large-file.ts";
import { SlowLine } from "./slow-line.ts";
import { UploadPage } from "./upload-page.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const FILE_BYTES = 2 * GIB;

/** Typical networks, in bits per second. */
const LINES: readonly (readonly [name: string, bits: number])[] = [
  ["100 Mbit/s", 100e6],
  ["1 Gbit/s", 1e9],
];

/**
 * Sends a file of 2 GiB that is already stored, over typical networks, and counts the bytes on the
 * line.
 */
export async function run(build: Build, parent: string): Promise<void> {
  await using contender = await Contender.start({ build, parent }, { name: "fixity", script: "fixity-pages" });
  await using page = await UploadPage.open();
  await using file = await LargeFile.make(parent, FILE_BYTES);
  await page.upload(file, { endpoint: `http://127.0.0.1:${contender.port}/uploads`, sender: "fixity" });
  console.log("\nA file of 2 GiB from a page, which the server has already");
  for (const [name, bits] of LINES) {
    await using line = await SlowLine.start(contender.port, bits / 8);
    const endpoint = `http://127.0.0.1:${line.port}/uploads`;
    const { seconds } = await page.upload(file, { endpoint, sender: "fixity" });
    console.log(
      `  ${name.padEnd(12)} ${(line.up / MIB).toFixed(0)} MiB sent in ${seconds.toFixed(0)} s; ` +
        `all of it would take ${(FILE_BYTES / (bits / 8)).toFixed(0)} s`,
    );
  }
}
