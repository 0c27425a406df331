import type { Build } from "../build.ts";
import { Contender } from "../contender.ts";
import { median, report } from "../figures.ts";
import { ROUNDS } from "../rounds.ts";
import { BrowserMemory } from "./browser-memory.ts";
import { LargeFile } from "./large-file.ts";
import { UploadPage } from "./upload-page.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/**
 * Sends a new file of 1 GiB from a page to one server, alternately by the client and by Uppy's XHR
 * upload.
 */
export async function run(build: Build, parent: string): Promise<void> {
  await using contender = await Contender.start({ build, parent }, { name: "fixity", script: "fixity-pages" });
  await using page = await UploadPage.open();
  await using file = await LargeFile.make(parent, GIB);
  const endpoint = `http://127.0.0.1:${contender.port}/uploads`;
  const senders = (["fixity", "uppy"] as const).map((sender) => ({
    sender,
    name: sender === "fixity" ? "fixity/client" : "Uppy's XHR upload",
    values: [] as number[],
    longest: [] as number[],
    memory: [] as number[],
  }));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { sender, values, longest, memory } of senders) {
      await file.renew();
      using watch = new BrowserMemory();
      const speed = await page.upload(file, { endpoint, sender });
      await contender.clear();
      if (round === 0) continue;
      values.push(GIB / MIB / speed.seconds);
      longest.push(speed.longest);
      memory.push(watch.peak / MIB);
    }
  }
  report("A new file of 1 GiB from a page", "MiB/s", senders);
  for (const { name, longest, memory } of senders) {
    console.log(
      `  ${name}: longest task of the page ${Math.max(...longest).toFixed(0)} ms (0: none above 50), ` +
        `memory of all its browser's processes ${median(memory).toFixed(0)} MiB at peak`,
    );
  }
}
