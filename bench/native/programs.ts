/** What fixity is compared with: builds the programs, in a folder that is not committed. */
import { execFile, type ExecFileOptions } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const TUSD_VERSION = "v2.9.1";

/** Build outputs and the modules of Go. */
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/native", import.meta.url));
const ARTICLE = fileURLToPath(new URL("article", import.meta.url));

/** A program that was built or found. */
export interface Program {
  readonly binary: string;
  /** For the report. */
  readonly version: string;
}

/** The programs; `null` for one that cannot be built or found here. */
export interface Programs {
  readonly article: Program | null;
  readonly tusd: Program | null;
  readonly nginx: Program | null;
}

/** Builds what is not built yet. What is missing is reported; its rows are measured without it. */
export async function buildPrograms(): Promise<Programs> {
  await mkdir(CACHE, { recursive: true });
  const attempt = async (name: string, needed: string, build: () => Promise<Program>): Promise<Program | null> => {
    try {
      return await build();
    } catch (error) {
      const { code, message } = error as { readonly code?: unknown; readonly message: string };
      const reason = code === "ENOENT" ? `${needed} is not installed` : message;
      console.error(`${name} is left out: ${reason}`);
      return null;
    }
  };
  return {
    article: await attempt("The article's service", "cargo (rustup.rs)", buildArticle),
    tusd: await attempt("tusd", "go (go.dev)", buildTusd),
    nginx: await attempt("nginx", "nginx (Debian's package nginx-light)", findNginx),
  };
}

async function buildArticle(): Promise<Program> {
  const env = { ...process.env, CARGO_TARGET_DIR: `${CACHE}/target` };
  const rustc = await output("rustc", ["--version"], {});
  await output("cargo", ["build", "--release", "--quiet"], { cwd: ARTICLE, env });
  const tree = await output("cargo", ["tree", "--depth", "1", "--prefix", "none"], { cwd: ARTICLE, env });
  const crates = [...tree.matchAll(/^(axum|rust-s3|tokio|sha2) v(\S+)/gm)].map(
    ([, name, version]) => `${name} ${version}`,
  );
  return { binary: `${CACHE}/target/release/article`, version: [rustc.split(" (")[0], ...crates].join(", ") };
}

async function buildTusd(): Promise<Program> {
  const env = { ...process.env, GOBIN: `${CACHE}/bin`, GOPATH: `${CACHE}/go`, GOFLAGS: "-modcacherw" };
  const go = await output("go", ["env", "GOVERSION"], {});
  await output("go", ["install", `github.com/tus/tusd/v2/cmd/tusd@${TUSD_VERSION}`], { cwd: CACHE, env });
  return { binary: `${CACHE}/bin/tusd`, version: `${TUSD_VERSION} (${go})` };
}

async function findNginx(): Promise<Program> {
  // Debian installs it where a user's PATH has no folder.
  process.env["PATH"] += ":/usr/sbin";
  const { stderr } = await run("nginx", ["-v"]);
  return { binary: "nginx", version: stderr.trim().replace("nginx version: nginx/", "") };
}

async function output(command: string, args: readonly string[], options: ExecFileOptions): Promise<string> {
  const { stdout } = await run(command, args, { ...options, encoding: "utf8", maxBuffer: 64 * 1024 ** 2 });
  return stdout.trim();
}
