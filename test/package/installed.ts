import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run: typeof execFile.__promisify__ = promisify(execFile);
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** This Node comes first, also for programs that scripts start. */
export const ENV: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
  NODE_TEST_CONTEXT: undefined,
};

/** The path of the tarball that `npm pack` makes of a clean clone; everything else is in `folder`, too. */
export async function packCleanClone(folder: string): Promise<string> {
  const clone = await cleanClone(join(folder, "clone"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: clone, env: ENV });
  // nothing but JSON may be on the standard output
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>);
  assert.ok(packed !== undefined);
  return join(folder, packed.filename);
}

/** A clone of this repository with what has not been committed yet, and with the installed dependencies. */
async function cleanClone(clone: string): Promise<string> {
  await run("git", ["clone", "--quiet", "--depth=1", `file://${ROOT}`, clone]);
  const listed = async (...which: string[]) => {
    const { stdout } = await run("git", ["ls-files", "-z", "--exclude-standard", ...which], { cwd: ROOT });
    return stdout.split("\0").filter((name) => name !== "");
  };
  const deleted = await listed("--deleted");
  for (const name of await listed("--modified", "--others")) {
    if (!deleted.includes(name)) await cp(join(ROOT, name), join(clone, name));
  }
  for (const name of deleted) await rm(join(clone, name), { force: true });
  await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
  return clone;
}

/** Makes a project in which nothing but the package is installed. */
export async function install(tarball: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "type": "module", "private": true }');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: folder, env: ENV });
}

/** Adds what this repository has installed, such as frameworks, to a folder with the package. */
export async function addNeighbours(folder: string): Promise<void> {
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    await symlink(join(ROOT, "node_modules", name), join(folder, "node_modules", name)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    });
  }
}

/** A program that listens, and its address. */
export interface RunningProgram extends AsyncDisposable {
  readonly url: string;
}

export async function startProgram(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<RunningProgram> {
  // a group of its own: npx starts a child that has to end with it
  const child: ChildProcess = spawn(program, args, { ...options, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  assert.ok(child.stdout !== null && child.stderr !== null && child.pid !== undefined);
  const exited = once(child, "exit");
  const { pid, stderr, stdout } = child;
  const url = await new Promise<string>((resolve, reject) => {
    let text = "";
    for (const stream of [stdout, stderr]) {
      stream.on("data", (bytes: Buffer) => {
        text += bytes.toString();
        const found = /http:\/\/[\w.:-]+/.exec(text)?.[0];
        if (found !== undefined) resolve(found);
      });
    }
    void exited.then(() => reject(new Error(`${program} ${args.join(" ")} ended without an address:\n${text}`)));
  });
  return {
    url,
    async [Symbol.asyncDispose]() {
      process.kill(-pid);
      await exited;
    },
  };
}

/** Stores a file at `uploads` and reads it by its link. */
export async function assertStores(uploads: string, headers: Record<string, string> = {}): Promise<void> {
  const form = new FormData();
  form.append("upload", new File(["hello from a test"], "a.txt"));
  const stored = await fetch(uploads, { method: "POST", body: form, headers });
  assert.equal(stored.status, 201);
  const { url } = (await stored.json()) as { url: string };
  assert.equal(await (await fetch(new URL(url, uploads))).text(), "hello from a test");
}

/** Each entry of the package that is code: its name for importers, without `fixity`. */
export async function entryNames(): Promise<string[]> {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  return Object.keys(exports)
    .filter((name) => name !== "./package.json")
    .map((name) => name.slice(1));
}

/** The declaration files of each entry (one for each condition), and its name for importers. */
export async function declarations(folder: string): Promise<(readonly [name: string, file: string])[]> {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  const found: (readonly [string, string])[] = [];
  for (const [entry, target] of Object.entries(exports) as [string, unknown][]) {
    for (const [path] of JSON.stringify(target).matchAll(/(?<=")[^"]+\.d\.ts(?=")/g)) {
      found.push([entry.replace(".", "fixity"), join(folder, "node_modules/fixity", path)]);
    }
  }
  return found;
}
