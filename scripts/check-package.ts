/**
 * Packs what `npm publish` would send and checks it: `publint` looks for files and fields that are
 * wrong, `attw` resolves the types of each entry as each kind of TypeScript project does. Prints
 * what the package consists of. The build must exist.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { formatSize } from "../src/base/format-size.ts";

interface Packed {
  readonly filename: string;
  /** Bytes. */
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

const folder = mkdtempSync(path.join(tmpdir(), "fixity-pack-"));
try {
  const { filename, size, unpackedSize, files } = pack();
  const tarball = path.join(folder, filename);
  const counts = Map.groupBy(files, (file) => path.extname(file.path) || path.basename(file.path));
  const kinds = [...counts]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([kind, { length }]) => `${length} ${kind}`);
  console.log(`${files.length} files, ${formatSize(size)} packed, ${formatSize(unpackedSize)} unpacked`);
  console.log(`(${kinds.join(", ")})`);
  run("publint", ["run", tarball, "--strict"]);
  // Without `@types` packages from the registry: the package has types of its own.
  run("attw", [tarball, "--profile", "esm-only", "--no-definitely-typed", "--format", "ascii", "--no-emoji"]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** `npm pack` without its scripts, which would build again. */
function pack(): Packed {
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const [packed] = Object.values(JSON.parse(execFileSync("npm", args, { encoding: "utf8" })) as Record<string, Packed>);
  if (packed === undefined) throw new Error("npm pack has packed nothing");
  return packed;
}

function run(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(path.join("node_modules/.bin", program), args, { encoding: "utf8" });
  console.log(`${program}: ${status === 0 ? "no problems" : `problems\n${stdout}${stderr}`}`);
  if (status !== 0) process.exitCode = 1;
}
