/**
 * Measures the structure of the source: how many files take part in three requests, which import
 * cycles exist, and how large the modules are. `npm run measure:structure`; `-- --files` lists the
 * files of each request.
 *
 * Files are counted by V8's precise coverage: a file takes part if one of its functions ran between
 * two points of time. Each request runs once before, so that files which only start something do
 * not count.
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { Session } from "node:inspector/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Digest } from "../src/core/digest.ts";
import { diskStore } from "../src/disk.ts";
import { type BlobStore, createFixity } from "../src/index.ts";
import { nodeHandler } from "../src/node.ts";
import { s3Store } from "../src/s3.ts";
import { KEYS, ScriptedServer } from "../test/s3/scripted-server.ts";

const MIB = 1024 * 1024;
const SOURCE = fileURLToPath(new URL("../src/", import.meta.url));
const LISTS_FILES = process.argv.includes("--files");

/** Which files run, by V8's counters. */
class Coverage implements AsyncDisposable {
  readonly #session = new Session();

  static async start(): Promise<Coverage> {
    const coverage = new Coverage();
    coverage.#session.connect();
    await coverage.#session.post("Profiler.enable");
    await coverage.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
    return coverage;
  }

  /**
   * The source files with a function that was called since the last call, below `src/` and sorted.
   */
  async take(): Promise<readonly string[]> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    const files = result
      .filter(
        ({ url, functions }) =>
          url.startsWith("file:") && fileURLToPath(url).startsWith(SOURCE) && functions.some(hasRun),
      )
      .map(({ url }) => relative(SOURCE, fileURLToPath(url)));
    return files.toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }
}

function hasRun({ functionName, ranges }: { functionName: string; ranges: readonly { count: number }[] }): boolean {
  // The function without a name and with the whole file as its range is the module itself, which
  // runs once.
  return functionName !== "" && ranges.some(({ count }) => count > 0);
}

/** The files between the first `write` of a staged blob and the answers to its three parts. */
async function filesOfThreeParts(coverage: Coverage): Promise<readonly string[]> {
  await using server = await ScriptedServer.start();
  await using store = storeOn(server);
  let files: readonly string[] = [];
  for (let round = 0; round < 2; round += 1) {
    const chunks = Array.from({ length: 3 * 5 * 16 }, () => randomBytes(MIB / 16));
    const digest = createHash("sha256");
    for (const chunk of chunks) digest.update(chunk);
    await using staged = await store.stage();
    await coverage.take();
    for (const chunk of chunks) await staged.write(chunk);
    // The third part is sent by the byte after it.
    await staged.write(digest.copy().digest());
    while (server.operations.filter((operation) => operation === "UploadPart").length < 3 * (round + 1)) {
      await new Promise(setImmediate);
    }
    files = await coverage.take();
    await staged.abort();
  }
  return files;
}

/**
 * The files of one `PATCH` (IETF draft) that brings 12 MiB to an upload on S3 and does not end it.
 */
async function filesOfPatch(coverage: Coverage): Promise<readonly string[]> {
  await using server = await ScriptedServer.start();
  await using store = storeOn(server);
  await using fixity = createFixity({ store });
  const http = createServer(nodeHandler(fixity)).listen(0, "127.0.0.1");
  await once(http, "listening");
  const base = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  let files: readonly string[] = [];
  for (let round = 0; round < 2; round += 1) {
    const draft = { "upload-draft-interop-version": "8" };
    const created = await fetch(`${base}/uploads`, {
      method: "POST",
      headers: { ...draft, "upload-complete": "?0", "upload-length": String(64 * MIB) },
    });
    const { pathname } = new URL(created.headers.get("location") ?? "", base);
    await created.arrayBuffer();
    await coverage.take();
    const headers = {
      ...draft,
      "upload-complete": "?0",
      "upload-offset": "0",
      "content-type": "application/partial-upload",
    };
    const patched = await fetch(base + pathname, { method: "PATCH", headers, body: randomBytes(12 * MIB) });
    await patched.arrayBuffer();
    files = await coverage.take();
    if (patched.status !== 204 && patched.status !== 201) throw new Error(`PATCH returned status ${patched.status}`);
  }
  http.closeAllConnections();
  http.close();
  return files;
}

/** The files of the commit of one small file on disk. */
async function filesOfDiskCommit(coverage: Coverage): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-structure-"));
  let files: readonly string[] = [];
  try {
    await using store = diskStore({ root: folder });
    for (let round = 0; round < 2; round += 1) {
      const bytes = randomBytes(MIB);
      await using staged = await store.stage();
      await staged.write(bytes);
      await coverage.take();
      await staged.commit(Digest.parse(`sha256:${createHash("sha256").update(bytes).digest("hex")}`));
      files = await coverage.take();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return files;
}

function storeOn(server: ScriptedServer): BlobStore {
  return s3Store({ bucket: "scripted", endpoint: server.endpoint, partSize: 5 * MIB, ...KEYS, log: () => null });
}

/** What each source file imports, type imports included. */
async function imports(): Promise<ReadonlyMap<string, readonly string[]>> {
  const names = await readdir(SOURCE, { recursive: true });
  const files = names
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  const graph = new Map<string, readonly string[]>();
  for (const file of files) {
    const text = await readFile(join(SOURCE, file), "utf8");
    const found = text.matchAll(/^(?:import|export)\b[^;]*?from "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gms);
    const targets = Array.from(found, ([, from, dynamic]) => normalize(join(dirname(file), from ?? dynamic ?? "")));
    graph.set(
      file,
      targets.map((target) => target.replaceAll("\\", "/")).filter((target) => files.includes(target)),
    );
  }
  return graph;
}

/**
 * Groups of files that import each other (Tarjan's strongly connected components of more than one
 * file).
 */
function cyclesIn(graph: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const visit = (file: string): void => {
    const own = index.size;
    index.set(file, own);
    low.set(file, own);
    stack.push(file);
    for (const target of graph.get(file) ?? []) {
      if (!index.has(target)) visit(target);
      if (stack.includes(target)) low.set(file, Math.min(low.get(file) ?? own, low.get(target) ?? own));
    }
    if (low.get(file) !== own) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1) cycles.push(group);
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return cycles;
}

function printModules(files: Iterable<string>): void {
  const counts = new Map<string, number>();
  for (const file of files) {
    const [top = "", second = ""] = file.includes("/") ? file.split("/") : ["(entry points)"];
    const module = top === "stores" && !second.endsWith(".ts") ? `${top}/${second}` : top;
    counts.set(module, (counts.get(module) ?? 0) + 1);
  }
  console.log("\nSource files by module (without tests)");
  for (const [module, count] of [...counts].toSorted(([one], [other]) => one.localeCompare(other)))
    console.log(`  ${module.padEnd(18)} ${String(count).padStart(4)}`);
}

function printRequest(name: string, files: readonly string[], wanted: number): void {
  console.log(`  ${name.padEnd(52)} ${String(files.length).padStart(3)}  (wanted: ${wanted})`);
  if (LISTS_FILES) for (const file of files) console.log(`      ${file}`);
}

const graph = await imports();
{
  await using coverage = await Coverage.start();
  console.log("Source files that take part in");
  printRequest("write to the socket, 3 parts, S3", await filesOfThreeParts(coverage), 12);
  printRequest("one resumable PATCH on S3, as a whole", await filesOfPatch(coverage), 28);
  printRequest("the commit of one file on disk", await filesOfDiskCommit(coverage), 5);
}
const cycles = cyclesIn(graph);
console.log(`\nImport cycles, type imports included: ${cycles.length}`);
for (const cycle of cycles) console.log(`  ${cycle.join(" <-> ")}`);
printModules(graph.keys());
if (cycles.length > 0) process.exitCode = 1;
