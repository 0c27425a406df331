/** `events`: what recording and delivering events costs small uploads. */
import { randomBytes } from "node:crypto";
import type { Build } from "./build.ts";
import type { Start } from "./contender.ts";
import { report } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { rounds } from "./rounds.ts";

const LOAD = { size: 4096, connections: 32, count: 3000 };

export async function events(build: Build, parent: string): Promise<void> {
  const recording: Start = {
    name: "fixity with events",
    script: "fixity-events",
    args: [randomBytes(32).toString("base64")],
  };
  const plain: Start = { name: "fixity", script: "fixity" };
  const series = await rounds({ build, parent }, [recording, plain], async ({ port }) =>
    uploadSmall(port, "/uploads", LOAD),
  );
  report("Form uploads of 4 KiB, 32 connections, durable", "per second", series);
}
