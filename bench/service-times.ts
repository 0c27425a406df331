/** `service-times`: how much processor time one operation costs the server, whatever the load costs. */
import { tmpdir } from "node:os";
import type { Build } from "./build.ts";
import type { Contender, Start } from "./contender.ts";
import { report } from "./figures.ts";
import { uploadFixed } from "./fixed-file.ts";
import { download, uploadLarge, uploadSmall } from "./load.ts";
import { rounds } from "./rounds.ts";
import { withSink } from "./s3.ts";
import { CACHED, downloadMany, makeFiles, prepare } from "./small-downloads.ts";

const GIB = 1024 ** 3;
const SMALL = { size: 4096, connections: 32, count: 4000 };
const DOWNLOADS = 20_000;

const DISK_STORE: Start = { name: "fixity on a disk", script: "fixity" };

export async function serviceTimes(build: Build, parent: string): Promise<void> {
  await uploads(build, { parent, start: DISK_STORE });
  await withSink(build, async (target) => {
    const start = { name: "fixity on S3", script: "fixity-s3", args: [JSON.stringify(target)] };
    await uploads(build, { parent: tmpdir(), start });
  });
  await smallDownloads(build, parent);
  await largeDownloads(build, parent);
}

async function uploads(build: Build, { parent, start }: { parent: string; start: Start }): Promise<void> {
  const small = await rounds({ build, parent }, [start], async (contender) => {
    const cpu = await contender.cpuDuring(() => uploadSmall(contender.port, "/uploads", SMALL));
    return (1000 * cpu) / SMALL.count;
  });
  report(`CPU of ${start.name} for a form upload of 4 KiB`, "ms", small);
  const large = await rounds({ build, parent }, [start], async (contender) => {
    const cpu = await contender.cpuDuring(() => uploadLarge(contender.port, "/uploads", GIB));
    await contender.clear();
    return cpu;
  });
  report(`CPU of ${start.name} for a form upload of 1 GiB`, "s", large);
}

async function smallDownloads(build: Build, parent: string): Promise<void> {
  const files = makeFiles(500, 4096);
  const paths = files.map(({ hex }) => `/uploads/${hex}`);
  const prepared = new Set<Contender>();
  const series = await rounds({ build, parent }, [CACHED], async (contender) => {
    if (!prepared.has(contender)) await prepare(contender, files);
    prepared.add(contender);
    const cpu = await contender.cpuDuring(() => downloadMany(contender.port, paths, { count: DOWNLOADS }));
    return (1000 * cpu) / DOWNLOADS;
  });
  report("CPU of fixity for a download of 4 KiB from its cache", "ms", series);
}

async function largeDownloads(build: Build, parent: string): Promise<void> {
  const paths = new Map<Contender, string>();
  const series = await rounds({ build, parent }, [DISK_STORE], async (contender) => {
    const path = paths.get(contender) ?? (await uploadFixed(contender.port, GIB));
    paths.set(contender, path);
    return contender.cpuDuring(() => download(contender.port, path));
  });
  report("CPU of fixity for a download of 1 GiB that is verified, from a disk", "s", series);
}
