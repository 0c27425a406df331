/**
 * Builds the image's files by the commands of the Dockerfile, and runs them as a container engine would: in a root file
 * system that has nothing else and is read-only, as user 1000 without capabilities, as process 1. Needs npm with a registry.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, cp, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { until } from "../helpers/settled.ts";
import { argumentsOf, contextFiles, dockerfile, environmentOf, textsOf } from "./image.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TOKEN = "0123456789abcdef";

const run = promisify(execFile);

/** A root file system with the programs of this machine, and Node from the repository first in the PATH. */
async function rootFileSystem(): Promise<string[]> {
  const node = await realpath(join(ROOT, "node_modules/node/bin/node"));
  const links = ["bin", "lib", "lib64", "sbin"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]);
  const system = ["--tmpfs", "/", "--ro-bind", "/usr", "/usr", ...links, "--ro-bind", "/etc", "/etc"];
  const path = `/node24:${process.env["PATH"] ?? ""}`;
  return [...system, "--dev", "/dev", "--proc", "/proc", "--ro-bind", node, "/node24/node", "--setenv", "PATH", path];
}

async function build(folder: string): Promise<void> {
  const { build } = await dockerfile();
  for (const name of ["src", "app", "tmp"]) await mkdir(join(folder, name));
  for (const file of await contextFiles()) await cp(join(ROOT, file), join(folder, "src", file), { recursive: true });
  const binds = ["src", "app", "tmp"].flatMap((name) => ["--bind", join(folder, name), `/${name}`]);
  const npm = ["--ro-bind-try", join(homedir(), ".npmrc"), "/root/.npmrc", "--setenv", "HOME", "/root"];
  const args = [...(await rootFileSystem()), ...npm, ...binds, "--chdir", textsOf(build, "WORKDIR")[0] ?? ""];
  for (const command of textsOf(build, "RUN"))
    await run("bwrap", [...args, "sh", "-ec", command], { maxBuffer: 2 ** 26 });
}

/** The container: the command, and the id of its process 1 once it runs. */
async function start(folder: string, port: number) {
  const { image } = await dockerfile();
  const [uid = "", gid = ""] = (textsOf(image, "USER")[0] ?? "").split(":");
  await mkdir(join(folder, "data"), { mode: 0o700 });
  await writeFile(join(folder, "tokens"), `ci=${TOKEN}\n`);
  await chown(join(folder, "data"), Number(uid), Number(gid));
  const env = { ...environmentOf(image), PORT: String(port), UPLOAD_TOKENS_FILE: "/run/secrets/tokens" };
  const args = [
    ["--unshare-pid", "--as-pid-1", "--unshare-user", "--uid", uid, "--gid", gid, "--clearenv"],
    await rootFileSystem(),
    ["--ro-bind", join(folder, "app/node_modules"), "/app/node_modules"],
    ["--bind", join(folder, "data"), "/data", "--ro-bind", join(folder, "tokens"), "/run/secrets/tokens"],
    ["--tmpfs", "/tmp", "--remount-ro", "/"],
    Object.entries(env).flatMap(([name, value]) => ["--setenv", name, value]),
    [...argumentsOf(image, "ENTRYPOINT"), ...argumentsOf(image, "CMD")],
  ].flat();
  const drop = ["--reuid", uid, "--regid", gid, "--clear-groups", "bwrap", ...args];
  const child = spawn("setpriv", drop, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const exit = once(child, "exit") as Promise<[number | null]>;
  await Promise.race([exit, until(async () => output.includes("Listening on"))]);
  assert.ok(child.exitCode === null, output);
  const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
  return { pid: Number(children.trim()), exit, output: () => output };
}

void test("the image builds, and runs read-only as process 1 until SIGTERM", needing("bwrap", "root"), async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-image-"));
  try {
    await run("chmod", ["755", folder]);
    await build(folder);
    const port = await freePort();
    const container = await start(folder, port);
    const status = await readFile(`/proc/${container.pid}/status`, "utf8");
    assert.match(status, /^NSpid:\t\d+\t(?:\d+\t)*1$/m);
    assert.match(status, /^CapEff:\t0+$/m);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const url = `http://127.0.0.1:${port}/uploads`;
    const stored = await fetch(`${url}?filename=a.txt`, { method: "POST", body: "hello", headers });
    assert.equal(stored.status, 201, container.output());
    const { url: link } = (await stored.json()) as { url: string };
    assert.equal(await (await fetch(new URL(link, url))).text(), "hello");
    assert.equal((await fetch(new URL("/", url))).status, 200);
    process.kill(container.pid, "SIGTERM");
    assert.deepEqual(await container.exit, [0, null], container.output());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
