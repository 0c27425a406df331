import { watch } from "node:fs";
import { tmpdir } from "node:os";
import type { Build } from "./build.ts";
import { Contender, type Start } from "./contender.ts";
import { reportOwn } from "./figures.ts";
import { type Dialect, ResumableUpload } from "./resumable-upload.ts";
import { rounds } from "./rounds.ts";
import { withGateway } from "./s3.ts";
import type { S3Target } from "./servers/s3-target.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** A server and the protocol of its uploads. */
interface Speaker extends Start {
  readonly dialect: Dialect;
}

/** The number of requests of one upload. */
type Requests = 1 | 64;

/** Uploads 1 GiB to a disk, with durability and, like the peer, without. */
export async function resumeDisk(build: Build, parent: string): Promise<void> {
  const none = { script: "fixity", args: ["none"] };
  const speakers: readonly Speaker[] = [
    { name: "fixity, tus", script: "fixity", dialect: "tus" },
    { name: "fixity, IETF", script: "fixity", dialect: "ietf" },
    { name: "fixity, tus, durability none", ...none, dialect: "tus" },
    { name: "fixity, IETF, durability none", ...none, dialect: "ietf" },
    { name: "@tus/server (no hash, no fsync)", script: "tus", dialect: "tus" },
  ];
  for (const requests of [1, 64] as const) {
    const series = await rounds({ build, parent }, speakers, async (contender) => {
      const seconds = await uploadOnce(contender, dialectOf(speakers, contender), { size: GIB, requests });
      await contender.clear();
      return GIB / MIB / seconds;
    });
    reportOwn(`Resumable upload of 1 GiB to disk in ${plural(requests)}`, "MiB/s", series);
  }
}

/**
 * Uploads to S3 in one request, and counts the temporary files that the servers create meanwhile.
 */
export async function resumeS3(build: Build): Promise<void> {
  const size = 512 * MIB;
  await withGateway("resume-s3", async (target) => {
    const speakers = speakersOnS3(target);
    const files = new Map<string, number>(speakers.map(({ name }) => [name, 0]));
    const series = await rounds({ build, parent: tmpdir() }, speakers, async (contender) => {
      // A contender's folder is also its folder for temporary files.
      const watcher = watch(contender.root, (event) => {
        if (event === "rename") files.set(contender.name, (files.get(contender.name) ?? 0) + 1);
      });
      try {
        const seconds = await uploadOnce(contender, dialectOf(speakers, contender), { size, requests: 1 });
        return size / MIB / seconds;
      } finally {
        watcher.close();
      }
    });
    reportOwn(`Resumable upload of ${size / MIB} MiB to S3 in one request`, "MiB/s", series);
    for (const [name, count] of files)
      console.log(`  ${name}: ${count} files created or removed in the temporary folder`);
  });
}

/** Measures peak memory during many concurrent uploads to S3, half of them in each dialect. */
export async function resumeMemory(build: Build): Promise<void> {
  const [count, size] = [100, 64 * MIB];
  await withGateway("resume-memory", async (target) => {
    const start = { name: "fixity", script: "fixity-s3", args: [JSON.stringify(target)] };
    await using contender = await Contender.start({ build, parent: tmpdir() }, start);
    const statuses = await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        using upload = new ResumableUpload(contender.port, index % 2 === 0 ? "tus" : "ietf", size);
        return await upload.sendPatiently();
      }),
    );
    const { peakMemory } = await contender.usage();
    const interrupted = statuses.flat();
    console.log(
      `\n${count} resumable uploads of ${size / MIB} MiB to S3 at once: fixity ${(peakMemory / MIB).toFixed(0)} MiB at peak; ` +
        `interrupted or refused ${interrupted.length} times ${[...new Set(interrupted)].join(" ")}`.trimEnd(),
    );
  });
}

function speakersOnS3(target: S3Target): readonly Speaker[] {
  const args = [JSON.stringify(target)];
  return [
    { name: "fixity, tus", script: "fixity-s3", args, dialect: "tus" },
    { name: "fixity, IETF", script: "fixity-s3", args, dialect: "ietf" },
    { name: "@tus/server (no hash)", script: "tus-s3", args, dialect: "tus" },
  ];
}

function dialectOf(speakers: readonly Speaker[], { name }: Contender): Dialect {
  return speakers.find((speaker) => speaker.name === name)?.dialect ?? "tus";
}

/** Seconds for one upload with all its requests, including the creation. */
async function uploadOnce(
  { port }: Contender,
  dialect: Dialect,
  { size, requests }: { readonly size: number; readonly requests: Requests },
): Promise<number> {
  using upload = new ResumableUpload(port, dialect, size);
  const started = performance.now();
  for (let request = 1; request <= requests; request++) await upload.send((size * request) / requests);
  return (performance.now() - started) / 1000;
}

function plural(requests: Requests): string {
  return requests === 1 ? "one request" : `${requests} requests`;
}
