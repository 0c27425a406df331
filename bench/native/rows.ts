/** The rows of the comparison: which work, by which servers. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Contender, Start } from "../contender.ts";
import { createFixedFile, uploadFixed } from "../fixed-file.ts";
import { download, putFile, uploadDeclared, uploadLarge, uploadSmall } from "../load.ts";
import { ResumableUpload } from "../resumable-upload.ts";
import { downloadMany, makeFiles, prepare, type StoredFile } from "../small-downloads.ts";
import type { S3Target } from "../servers/s3-target.ts";
import type { Row, Work } from "./measure.ts";
import type { Programs } from "./programs.ts";

const KIB = 1024;
const MIB = 1024 ** 2;
const SMALL_BYTES = 4 * KIB;
const CONNECTIONS = 32;
/** Distinct small files that are downloaded again and again. */
const DOWNLOADED_FILES = 500;

/** How much the rows transfer. */
export interface Amounts {
  /** Small files over one connection, and over 32; the latter also to and from disk, times 4 and 20. */
  readonly few: number;
  readonly many: number;
  /** Bytes of a large file over S3. */
  readonly large: number;
  /** Bytes of each of 32 large files at once over S3. */
  readonly parallel: number;
  /** Bytes of a large file on a disk. */
  readonly huge: number;
}

export const FULL: Amounts = { few: 200, many: 1000, large: 256 * MIB, parallel: 32 * MIB, huge: 1024 * MIB };
export const QUICK: Amounts = { few: 50, many: 300, large: 64 * MIB, parallel: 16 * MIB, huge: 256 * MIB };

const DECLARED = "fixity, digest declared";
const DURABLE: Start = { name: "fixity", script: "fixity" };
const UNFLUSHED: Start = { name: "fixity, durability none", script: "fixity", args: ["none"] };
const VERIFYING: Start = { name: "fixity, verifying each time", script: "fixity", args: ["full", "always"] };
const CACHED: Start = { name: "fixity, small files from memory", script: "fixity-cached" };
const NGINX: Start = { name: "nginx", script: "nginx" };

export function makeRows(programs: Programs, amounts: Amounts): readonly Row[] {
  return [...s3Rows(programs, amounts), ...tusRows(programs, amounts), ...diskRows(programs, amounts)];
}

function s3Rows({ article }: Programs, { few, many, large, parallel }: Amounts): readonly Row[] {
  const starts = (target: S3Target): Start[] => [
    onS3("fixity", target),
    ...(article === null ? [] : [{ ...onS3("article, Rust", target, [article.binary]), script: "article" }]),
  ];
  const small = (connections: number, count: number): Row => ({
    id: `s3-form-4k-${connections}`,
    title: `Form uploads of 4 KiB to S3, ${plural(connections)}`,
    per: "file",
    isOnS3: true,
    starts,
    work: (contender) => uploadMany(contender, { connections, count }),
    sample: (contender) => uploadMany(contender, { connections: 1, count: 20 }),
  });
  return [
    small(1, few),
    small(CONNECTIONS, many),
    {
      id: "s3-form-large-1",
      title: `Form upload of ${large / MIB} MiB to S3, 1 connection`,
      per: "byte",
      isOnS3: true,
      starts: (target) => [...starts(target), onS3(DECLARED, target)],
      work: async ({ name, port }) => {
        const upload = name === DECLARED ? uploadDeclared : uploadLarge;
        return { files: 1, bytes: large, seconds: await upload(port, "/uploads", large) };
      },
    },
    {
      id: `s3-form-large-${CONNECTIONS}`,
      title: `Form uploads of ${parallel / MIB} MiB to S3, ${plural(CONNECTIONS)} at once`,
      per: "byte",
      isOnS3: true,
      starts,
      work: (contender) => uploadAtOnce(contender, CONNECTIONS, parallel),
      sample: (contender) => uploadAtOnce(contender, 1, parallel),
    },
  ];
}

function tusRows({ tusd }: Programs, { large, huge }: Amounts): readonly Row[] {
  const disk = tusd === null ? [] : [{ name: "tusd, Go", script: "tusd", args: [tusd.binary] }];
  const s3 = (target: S3Target): Start[] =>
    tusd === null ? [] : [{ name: "tusd, Go", script: "tusd", args: [tusd.binary, JSON.stringify(target)] }];
  return [
    {
      id: "tus-disk",
      title: `tus upload of ${huge / MIB} MiB to disk, 1 connection`,
      per: "byte",
      isOnS3: false,
      starts: () => [DURABLE, UNFLUSHED, ...disk],
      work: async (contender) => discarding(contender, await uploadByTus(contender, huge)),
    },
    {
      id: "tus-s3",
      title: `tus upload of ${large / MIB} MiB to S3, 1 connection`,
      per: "byte",
      isOnS3: true,
      starts: (target) => [onS3("fixity", target), ...s3(target)],
      work: (contender) => uploadByTus(contender, large),
    },
  ];
}

function diskRows(programs: Programs, { many, huge }: Amounts): readonly Row[] {
  const nginx = programs.nginx === null ? [] : [NGINX];
  const { tusd } = programs;
  const tus = tusd === null ? [] : [{ name: "tusd, Go", script: "tusd", args: [tusd.binary] }];
  const files = makeFiles(DOWNLOADED_FILES, SMALL_BYTES);
  const paths = new Map<Contender, readonly string[]>();
  const common = { isOnS3: false } as const;
  return [
    {
      ...common,
      id: "put-4k",
      title: `PUT of 4 KiB to disk, ${plural(CONNECTIONS)}`,
      per: "file",
      starts: () => [DURABLE, UNFLUSHED, ...nginx],
      work: async (contender) => {
        const count = 4 * many;
        const rate = await uploadSmall(contender.port, "/uploads", {
          size: SMALL_BYTES,
          connections: CONNECTIONS,
          count,
          isNamed: true,
        });
        return discarding(contender, { files: count, bytes: count * SMALL_BYTES, seconds: count / rate });
      },
    },
    {
      ...common,
      id: "put-huge",
      title: `PUT of ${huge / MIB} MiB to disk, 1 connection`,
      per: "byte",
      starts: () => [DURABLE, UNFLUSHED, ...nginx],
      work: async (contender) => {
        const seconds = await putFile(contender.port, "/uploads/large.bin", huge);
        return discarding(contender, { files: 1, bytes: huge, seconds });
      },
    },
    {
      ...common,
      id: "get-4k",
      title: `Downloads of 4 KiB from disk, ${plural(CONNECTIONS)}`,
      per: "file",
      starts: () => [CACHED, DURABLE, ...tus, ...nginx],
      prepare: async (contender) => {
        paths.set(contender, await storeSmall(contender, files));
      },
      work: async (contender) => {
        const count = 20 * many;
        const rate = await downloadMany(contender.port, paths.get(contender) ?? [], { count });
        return { files: count, bytes: count * SMALL_BYTES, seconds: count / rate };
      },
    },
    {
      ...common,
      id: "get-huge",
      title: `Download of ${huge / MIB} MiB from disk, 1 connection`,
      per: "byte",
      starts: () => [DURABLE, VERIFYING, ...tus, ...nginx],
      prepare: async (contender) => {
        paths.set(contender, [await storeHuge(contender, huge)]);
      },
      work: async (contender) => {
        const [path = ""] = paths.get(contender) ?? [];
        return { files: 1, bytes: huge, seconds: await download(contender.port, path) };
      },
    },
  ];
}

function onS3(name: string, target: S3Target, args: readonly string[] = []): Start {
  return { name, script: "fixity-s3", args: [JSON.stringify(target), ...args] };
}

async function uploadMany({ port }: Contender, load: { connections: number; count: number }): Promise<Work> {
  const rate = await uploadSmall(port, "/uploads", { size: SMALL_BYTES, ...load });
  return { files: load.count, bytes: load.count * SMALL_BYTES, seconds: load.count / rate };
}

async function uploadAtOnce({ port }: Contender, count: number, size: number): Promise<Work> {
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: count }, () => uploadLarge(port, "/uploads", size)));
  return { files: count, bytes: count * size, seconds: (performance.now() - startedAt) / 1000 };
}

async function uploadByTus({ port }: Contender, size: number): Promise<Work> {
  using upload = new ResumableUpload(port, "tus", size);
  const startedAt = performance.now();
  await upload.send(size);
  return { files: 1, bytes: size, seconds: (performance.now() - startedAt) / 1000 };
}

/** Removes the files that were stored, but not what a server keeps beside them. */
async function discarding({ root }: Contender, work: Work): Promise<Work> {
  for (const name of await readdir(root)) {
    if (!name.startsWith("nginx-")) await rm(join(root, name), { recursive: true, force: true });
  }
  return work;
}

/** Stores the files where the contender serves them, and reads each once. Returns their paths. */
async function storeSmall(contender: Contender, files: readonly StoredFile[]): Promise<readonly string[]> {
  const paths: string[] = [];
  if (contender.name.startsWith("tusd")) {
    for (const _ of files) paths.push(await storeByTus(contender, SMALL_BYTES));
  } else {
    await prepare(contender, files);
    paths.push(...files.map(({ hex }) => `/uploads/${hex}`));
  }
  await downloadMany(contender.port, paths, { count: paths.length });
  return paths;
}

async function storeHuge(contender: Contender, size: number): Promise<string> {
  if (contender.name.startsWith("tusd")) return storeByTus(contender, size);
  return contender.name.startsWith("fixity")
    ? uploadFixed(contender.port, size)
    : createFixedFile(contender.root, size);
}

async function storeByTus({ port }: Contender, size: number): Promise<string> {
  using upload = new ResumableUpload(port, "tus", size);
  await upload.send(size);
  return upload.path ?? "";
}

function plural(connections: number): string {
  return connections === 1 ? "1 connection" : `${connections} connections`;
}
