/** `get-small`: many small downloads, warm and cold, against what else serves files. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Build } from "./build.ts";
import { Contender, type Start } from "./contender.ts";
import { report } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { rounds } from "./rounds.ts";

const KIB = 1024;
const CONNECTIONS = 32;

/** Files that are asked for again and again. */
const WARM_FILES = 500;

export const CACHED: Start = { name: "fixity, small files from memory", script: "fixity-cached" };
const UNCACHED: Start = { name: "fixity, from the disk", script: "fixity", args: ["none"] };
const PEERS: readonly Start[] = [
  { name: "@fastify/static", script: "fastify-static" },
  { name: "express.static", script: "express-static" },
  { name: "bare node:http, from memory", script: "bare-http" },
  ...(hasNginx() ? [{ name: "nginx", script: "nginx" }] : []),
];

/** A file that every contender has. */
export interface StoredFile {
  readonly hex: string;
  readonly bytes: Buffer;
}

/** A load of downloads. */
interface DownloadLoad {
  /** Downloads in all. */
  readonly count: number;
  /** @default 32 */
  readonly connections?: number;
  /** The entity tag that each path's request names in `If-None-Match`. @default none */
  readonly tags?: readonly string[];
}

export async function smallDownloads(build: Build, parent: string): Promise<void> {
  for (const size of [4 * KIB, 100 * KIB]) {
    const count = size > 50 * KIB ? 6000 : 20_000;
    const files = makeFiles(WARM_FILES, size);
    const prepared = new Set<Contender>();
    const series = await rounds({ build, parent }, [CACHED, UNCACHED, ...PEERS], async (contender) => {
      const paths = files.map(({ hex }) => `/uploads/${hex}`);
      if (!prepared.has(contender)) {
        await prepare(contender, files);
        prepared.add(contender);
        // All files once, so that caches are filled and files are verified.
        await downloadMany(contender.port, paths, { count: paths.length });
      }
      return await downloadMany(contender.port, paths, { count });
    });
    report(`Downloads of ${size / KIB} KiB, ${CONNECTIONS} connections, warm`, "per second", series);
  }
  await cold(build, parent);
  await notModified(build, parent);
}

/** Every file is asked for once: fixity reads, hashes and sends it. */
async function cold(build: Build, parent: string): Promise<void> {
  const perRound = 4000;
  const series = await rounds({ build, parent }, [CACHED, UNCACHED, ...PEERS.slice(0, 2)], async (contender) => {
    const files = makeFiles(perRound, 4 * KIB);
    await prepare(contender, files);
    const paths = files.map(({ hex }) => `/uploads/${hex}`);
    return await downloadMany(contender.port, paths, { count: perRound });
  });
  report(`Downloads of 4 KiB, ${CONNECTIONS} connections, each file for the first time`, "per second", series);
}

async function notModified(build: Build, parent: string): Promise<void> {
  const files = makeFiles(WARM_FILES, 4 * KIB);
  const prepared = new Set<Contender>();
  const series = await rounds({ build, parent }, [CACHED, ...PEERS.slice(0, 2)], async (contender) => {
    if (!prepared.has(contender)) await prepare(contender, files);
    prepared.add(contender);
    const paths = files.map(({ hex }) => `/uploads/${hex}`);
    return await downloadMany(contender.port, paths, { count: 20_000, tags: await etags(contender, paths) });
  });
  report(`304 to If-None-Match, ${CONNECTIONS} connections`, "per second", series);
}

/**
 * Memory while a thousand connections ask for more than fits the cache, at random, for a while. It
 * prints the peak after each tenth: it must stop growing.
 */
export async function smallDownloadsMemory(build: Build, parent: string): Promise<void> {
  const files = makeFiles(1500, 100 * KIB);
  const seconds = Number(process.env["BENCH_SECONDS"] ?? 600);
  for (const start of [CACHED, UNCACHED]) {
    await using contender = await Contender.start({ build, parent }, start);
    await prepare(contender, files);
    const paths = files.map(({ hex }) => `/uploads/${hex}`);
    const peaks: string[] = [];
    for (let tenth = 1; tenth <= 10; tenth += 1) {
      const end = performance.now() + (seconds / 10) * 1000;
      while (performance.now() < end) {
        await downloadMany(contender.port, shuffled(paths), { count: 10_000, connections: 1000 });
        await uploadSmall(contender.port, "/uploads", { size: 4 * KIB, connections: 32, count: 200 });
      }
      peaks.push(((await contender.usage()).peakMemory / KIB ** 2).toFixed(0));
    }
    console.log(`${start.name}: 1,000 connections, 150 MB of files, peak MiB after each tenth: ${peaks.join(" ")}`);
  }
}

function shuffled(paths: readonly string[]): readonly string[] {
  return paths.toSorted(() => Math.random() - 0.5);
}

export function makeFiles(count: number, size: number): readonly StoredFile[] {
  return Array.from({ length: count }, () => {
    const bytes = randomBytes(size);
    return { bytes, hex: createHash("sha256").update(bytes).digest("hex") };
  });
}

/** Puts the files where the contender serves them. */
export async function prepare({ name, root, port }: Contender, files: readonly StoredFile[]): Promise<void> {
  for (const { hex, bytes } of files) {
    const path = name.startsWith("fixity") ? join(root, "blobs", hex.slice(0, 2), hex) : join(root, hex);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  // The bare server reads its folder now.
  if (name.startsWith("bare")) await fetch(`http://127.0.0.1:${port}/`);
}

async function etags({ port }: Contender, paths: readonly string[]): Promise<readonly string[]> {
  const tags: string[] = [];
  for (const path of paths) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    await response.arrayBuffer();
    tags.push(response.headers.get("etag") ?? "");
  }
  return tags;
}

/**
 * Downloads `count` files, the paths in turn, over several connections. Returns downloads per second.
 * The load runs beside the server, so it is kept as light as possible: it reads the length of the
 * first response of a connection, and for the rest counts bytes.
 */
export async function downloadMany(
  port: number,
  paths: readonly string[],
  { count, connections = CONNECTIONS, tags = [] }: DownloadLoad,
): Promise<number> {
  const requests = paths.map((path, index) => {
    const condition = tags[index] === undefined ? "" : `If-None-Match: ${tags[index]}\r\n`;
    return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${condition}\r\n`);
  });
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  let next = 0;
  const startedAt = performance.now();
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve, reject) => {
          let left = -1;
          const ask = (): void => {
            if (next >= count) return resolve();
            left = -1;
            socket.write(requests[next++ % requests.length] ?? "");
          };
          socket.on("data", (bytes: Buffer) => {
            left = left === -1 ? responseBytes(bytes) - bytes.length : left - bytes.length;
            if (left === 0) ask();
          });
          socket.once("error", reject).once("close", () => reject(new Error("the connection was closed")));
          ask();
        }),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const socket of sockets) socket.removeAllListeners("close").destroy();
  return count / seconds;
}

/** The bytes of a whole response, by its header section, which arrives in one piece over loopback. */
function responseBytes(bytes: Buffer): number {
  const end = bytes.indexOf("\r\n\r\n");
  const head = bytes.toString("latin1", 0, end);
  if (end === -1 || !/^HTTP\/1\.1 (?:200|304)/.test(head)) throw new Error(`answered ${head}`);
  const length = head.startsWith("HTTP/1.1 304") ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
  return end + 4 + length;
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket;
}

function hasNginx(): boolean {
  if (existsSync("/usr/sbin/nginx")) return true;
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
