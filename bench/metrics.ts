/** `metrics`: what measuring costs small uploads. */
import type { Build } from "./build.ts";
import { median, report, type Series } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS } from "./rounds.ts";
import { Served } from "./served.ts";

/** Small uploads in one round of one server. */
const UPLOADS = 8000;

/**
 * Processor time of a server per small upload, with and without metrics. Unlike the rate, it hardly
 * depends on what else the machine does. The two servers take turns, in a new order each round, and
 * the ratio is that of the two halves of a round.
 */
export async function metrics(build: Build, parent: string): Promise<void> {
  await using plain = await Served.start(build, parent, []);
  await using measured = await Served.start(build, parent, ["--metrics-port", "0"]);
  const series: readonly [Series, Series] = [
    { name: "fixity with metrics", values: [] },
    { name: "fixity without metrics", values: [] },
  ];
  const ratios: number[] = [];
  for (let round = 0; round <= 2 * ROUNDS; round += 1) {
    const halves = [measured, plain].map((server, index) => ({ server, index }));
    const used = [0, 0];
    for (const { server, index } of round % 2 === 0 ? halves : halves.toReversed()) {
      const before = server.processorSeconds;
      await uploadSmall(server.port, "/uploads", { size: 4096, connections: 32, count: UPLOADS, isRaw: true });
      used[index] = server.processorSeconds - before;
    }
    if (round === 0) continue;
    for (const [index, { values }] of series.entries()) values.push((1000 * (used[index] ?? 0)) / UPLOADS);
    ratios.push((used[0] ?? 0) / (used[1] ?? 1));
  }
  report("Processor time per upload of 4 KiB, durable, 32 connections", "ms", series);
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
  console.log(
    `  ratio, median of ${ratios.length} rounds: ${median(ratios).toFixed(3)} (${least.toFixed(3)} to ${most.toFixed(3)})`,
  );
}
