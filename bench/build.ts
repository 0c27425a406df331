import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { undoneIfStopped } from "./stopping.ts";

const run = promisify(execFile);

/**
 * The benchmark and what it measures, compiled to JavaScript in a folder of its own: servers run as
 * users run them, without type stripping in their process.
 */
export class Build implements AsyncDisposable {
  readonly #folder: string;

  readonly #isStopped: () => void;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#isStopped = undoneIfStopped(() => this[Symbol.asyncDispose]());
  }

  static async make(): Promise<Build> {
    const folder = await mkdtemp(join(tmpdir(), "fixity-built-"));
    const build = new Build(folder);
    try {
      await compile(folder);
      await copyFile(inRepository("package.json"), join(folder, "package.json"));
      await symlink(inRepository("node_modules"), join(folder, "node_modules"));
      // Beside `src`, where the server looks for the page.
      await mkdir(join(folder, "dist"));
      await symlink(inRepository("dist/web"), join(folder, "dist/web"));
      return build;
    } catch (error) {
      await build[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The script of a server, `bench/servers/<name>.ts`, as JavaScript. */
  server(name: string): URL {
    return pathToFileURL(join(this.#folder, "bench/servers", `${name}.js`));
  }

  /** The script of the command line, as JavaScript. */
  get command(): string {
    return join(this.#folder, "src/cli/main.js");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function compile(folder: string): Promise<void> {
  try {
    await run(inRepository("node_modules/.bin/tsc"), [
      "-p",
      inRepository("bench"),
      "--noEmit",
      "false",
      "--outDir",
      folder,
    ]);
  } catch (error) {
    // The compiler prints its errors to standard output.
    throw new Error((error as { readonly stdout: string }).stdout, { cause: error });
  }
}

function inRepository(path: string): string {
  return join(fileURLToPath(new URL("..", import.meta.url)), path);
}
