/** The unit of examples/deployment for systemd: its exposure, its settings, and the system calls that it allows. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import packageJson from "../../package.json" with { type: "json" };
import { readConfig } from "../../src/settings/config.ts";
import { settingsOf } from "./settings.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/deployment/", import.meta.url));
const DROP_INS = ["fixity-bucket.conf", "fixity-delegated.conf"];

/** How exposed a unit may be, from 0 to 10, by `systemd-analyze security`. */
const MAX_EXPOSURE = 2;

const run = promisify(execFile);

/** The values of a directive in a unit, in their order. */
function valuesOf(unit: string, directive: string): string[] {
  return Array.from(unit.matchAll(new RegExp(`^${directive}=(.*)$`, "gm")), ([, value = ""]) => value);
}

/** A folder with the unit, and drop-ins for it, as in /etc/systemd/system. */
async function installed(dropIns: readonly string[], change: (unit: string) => string = (unit) => unit) {
  const root = await mkdtemp(join(tmpdir(), "fixity-unit-"));
  const folder = join(root, "etc/systemd/system");
  await mkdir(join(folder, "fixity.service.d"), { recursive: true });
  const unit = await readFile(join(EXAMPLES, "fixity.service"), "utf8");
  await writeFile(join(folder, "fixity.service"), change(unit));
  for (const name of dropIns) await cp(join(EXAMPLES, name), join(folder, "fixity.service.d", name));
  return {
    root,
    path: join(folder, "fixity.service"),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true }),
  };
}

void test("the unit and its drop-ins leave the server little", needing("systemd-analyze"), async () => {
  for (const dropIns of [[], ...DROP_INS.map((name) => [name]), DROP_INS]) {
    await using unit = await installed(dropIns);
    const args = ["security", "--offline=true", `--root=${unit.root}`, "--no-pager", "fixity.service"];
    const { stdout } = await run("systemd-analyze", args);
    const exposure = /^→ Overall exposure level for fixity\.service: (\d+\.\d)/m.exec(stdout)?.[1];
    assert.ok(Number(exposure) <= MAX_EXPOSURE, `${dropIns.join(" and ") || "the unit alone"}: ${exposure}`);
  }
});

void test("systemd understands every line of the unit and its drop-ins", needing("systemd-analyze"), async () => {
  const program = /^ExecStart=\S+/m;
  await using unit = await installed(DROP_INS, (unit) => unit.replace(program, `ExecStart=${process.execPath}`));
  // for some mistakes it fails, for others it only writes to standard error
  const verify = () =>
    run("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", unit.path]).then(
      ({ stderr }) => stderr,
      ({ stderr }: { readonly stderr: string }) => stderr,
    );
  assert.equal(await verify(), "");
  await writeFile(unit.path, (await readFile(unit.path, "utf8")).replace("ProtectClock=", "ProtectClocks="));
  assert.match(await verify(), /ProtectClocks/);
});

void test("the unit starts the package's program with the flags of npm start, and stops it in time", async () => {
  const unit = await readFile(join(EXAMPLES, "fixity.service"), "utf8");
  const [command = ""] = valuesOf(unit, "ExecStart");
  const [program, ...args] = command.split(" ");
  assert.equal(program, "/opt/fixity/node_modules/.bin/node");
  const started = packageJson.scripts.start.split(" ").slice(1);
  assert.deepEqual(
    args,
    started.map((arg) =>
      arg === "src/cli/main.ts" ? `/opt/fixity/node_modules/fixity/${packageJson.bin.fixity}` : arg,
    ),
  );
  const { shutdownTimeout } = readConfig({});
  assert.ok(Number(valuesOf(unit, "TimeoutStopSec")[0]) * 1000 >= shutdownTimeout + 15_000);
});

void test("the unit and its drop-ins name settings that exist, and files that they provide", async () => {
  const texts = await Promise.all(
    ["fixity.service", ...DROP_INS].map((name) => readFile(join(EXAMPLES, name), "utf8")),
  );
  const given = texts.flatMap((text) => valuesOf(text, "Environment")).flatMap((line) => line.split(" "));
  const env = Object.fromEntries(given.map((pair) => pair.split("=", 2) as [string, string]));
  const credentials = texts.flatMap((text) => valuesOf(text, "LoadCredential")).map((line) => line.split(":")[0]);
  const { UPLOAD_DIR, ...files } = settingsOf(env);
  assert.equal(UPLOAD_DIR, "%S/fixity");
  assert.deepEqual(
    Object.values(files),
    credentials.map((name) => `%d/${name}`),
  );
});

/** The names of the system calls in a set of systemd such as `@system-service`. */
async function callsOf(set: string): Promise<string[]> {
  const { stdout } = await run("systemd-analyze", ["syscall-filter", "--no-pager", set]);
  const names = Array.from(stdout.matchAll(/^\s+([@\w-]+)$/gm), ([, name = ""]) => name);
  const nested = await Promise.all(
    names.map((name) => (name.startsWith("@") ? callsOf(name) : Promise.resolve([name]))),
  );
  return nested.flat();
}

void test("every system call of a busy server is allowed", needing("systemd-analyze", "strace"), async () => {
  const unit = await readFile(join(EXAMPLES, "fixity.service"), "utf8");
  const [allowed = "", refused = ""] = valuesOf(unit, "SystemCallFilter");
  const permitted = new Set(await callsOf(allowed));
  for (const set of refused.slice(1).split(" ")) for (const call of await callsOf(set)) permitted.delete(call);

  await using folder = await StoreFolder.make();
  const summary = join(folder.path, "..", "calls");
  // -D: strace is a grandchild, so that signals reach the server
  const under = ["strace", "-D", "-f", "-c", "-S", "name", "-o", summary];
  await using server = await ServerProcess.start({ dir: folder.path, under });
  const bodies = Array.from({ length: 12 }, (_, index) => Buffer.alloc(index < 10 ? 4096 : 2 ** 20, `${index}`));
  const put = (body: Buffer) => fetch(`${server.url}/uploads/a.txt`, { method: "PUT", body });
  // together, so that the threads for small files start
  const links = await Promise.all(bodies.map(async (body) => (await put(body)).headers.get("location") ?? ""));
  for (const link of links) assert.equal((await fetch(new URL(link, server.url))).status, 200);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  await until(async () => (await readFile(summary, "utf8")).includes(" total\n"));
  const lines = (await readFile(summary, "utf8")).split("\n").slice(2);
  const calls = lines.map((line) => line.trim().split(/\s+/).at(-1) ?? "").filter((name) => /^\w+$/.test(name));
  assert.ok(calls.includes("fsync") && calls.length > 30, calls.join(" "));
  assert.deepEqual(
    calls.filter((name) => name !== "total" && !permitted.has(name)),
    [],
  );
});

void test("every file beside the unit is mentioned in docs/deployment.md", async () => {
  const page = await readFile(fileURLToPath(new URL("../../docs/deployment.md", import.meta.url)), "utf8");
  for (const name of await readdir(EXAMPLES)) assert.ok(page.includes(`examples/deployment/${name}`), name);
});
