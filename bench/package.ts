import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import packageJson from "../package.json" with { type: "json" };
import { report, type Series } from "./figures.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** A package to install, and what is imported of it. */
interface Use {
  readonly name: string;
  /** What `npm install` gets, from the folder of the measurement. */
  readonly installed: readonly string[];
  readonly imports: readonly string[];
}

/** Each use starts this many processes, in turns with the others. */
const IMPORTS = Number(process.env["BENCH_ROUNDS"] ?? 31);

/**
 * What installing the package takes, packed as it would be published, and how long an import takes
 * in a new process: for programs that upload, for apps that store on a disk, and for the server;
 * against multer and `@tus/server`, installed in the same way.
 */
export async function packageCosts(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-bench-"));
  try {
    const tarball = await pack(folder);
    const { devDependencies: versions } = packageJson;
    const uses: readonly Use[] = [
      { name: "fixity/client", installed: [tarball], imports: ["fixity/client"] },
      { name: "fixity, /node and /disk", installed: [tarball], imports: ["fixity", "fixity/node", "fixity/disk"] },
      { name: "fixity/server", installed: [tarball], imports: ["fixity/server"] },
      { name: "multer", installed: [`multer@${versions.multer}`], imports: ["multer"] },
      {
        name: "@tus/server, file-store",
        installed: [`@tus/server@${versions["@tus/server"]}`, `@tus/file-store@${versions["@tus/file-store"]}`],
        imports: ["@tus/server", "@tus/file-store"],
      },
    ];
    const projects: string[] = [];
    for (const [index, use] of uses.entries()) projects.push(await install(join(folder, String(index)), use));
    const series: Series[] = uses.map(({ name }) => ({ name, values: [] }));
    for (let round = 0; round <= IMPORTS; round += 1) {
      for (const [index, use] of uses.entries()) {
        const milliseconds = await importTime(projects[index] ?? "", use);
        // The first round reads the files from the disk.
        if (round > 0) series[index]?.values.push(milliseconds);
      }
    }
    report("Import in a new process", "ms", series);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function pack(folder: string): Promise<string> {
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>);
  if (packed === undefined) throw new Error("npm pack has packed nothing");
  return join(folder, packed.filename);
}

async function install(project: string, { name, installed }: Use): Promise<string> {
  await mkdir(project);
  await writeFile(join(project, "package.json"), '{ "type": "module", "private": true }');
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...installed], { cwd: project });
  const files = await readdir(join(project, "node_modules"), { recursive: true, withFileTypes: true });
  const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
  const packages = paths.filter((path) => /node_modules\/(?:@[^/]+\/)?[^/@.]+\/package\.json$/.test(path)).length;
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1e6;
  console.log(`${name.padEnd(34)} ${packages} packages, ${paths.length} files, ${megabytes.toFixed(1)} MB`);
  return project;
}

/** Milliseconds; without the start of the process. */
async function importTime(project: string, { imports }: Use): Promise<number> {
  const code = `
    const started = performance.now();
    ${imports.map((name) => `await import(${JSON.stringify(name)});`).join("\n")}
    console.log(performance.now() - started);
  `;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: project });
  return Number(stdout);
}
