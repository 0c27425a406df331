import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unsupportedRuntime } from "../../src/base/supported-node.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SENTENCE = /^fixity needs Node 24 or newer; this is v\d+\.\d+\.\d+\.$/m;

/** The built code, as it is installed: without any other package. */
let built = "";

before(async () => {
  built = await mkdtemp(join(tmpdir(), "fixity-old-node-"));
  const rolldown = join(ROOT, "node_modules/rolldown/bin/cli.mjs");
  await run(process.execPath, [rolldown, "-c", "--dir", join(built, "dist")], { cwd: ROOT });
  await cp(join(ROOT, "package.json"), join(built, "package.json"));
});

after(() => rm(built, { recursive: true, force: true }));

interface Runtime {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
}

/** The machine's own Node, where that is an old one; and always this one with the version of an old one. */
async function oldRuntimes(): Promise<Runtime[]> {
  const pretence = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "22.9.1" } });`;
  const hook = `data:text/javascript,${encodeURIComponent(pretence)}`;
  const runtimes = [{ name: "a Node that says 22.9.1", program: process.execPath, args: ["--import", hook] }];
  for (const program of ["/usr/bin/node", "/usr/local/bin/node"]) {
    const version = await run(program, ["--version"]).catch(() => null);
    if (version === null || Number.parseInt(version.stdout.slice(1), 10) >= 24) continue;
    runtimes.push({ name: `${program} ${version.stdout.trim()}`, program, args: [] });
  }
  return runtimes;
}

test("package.json and the check agree on the version of Node", async () => {
  const { engines } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { engines: { node: string } };
  assert.equal(engines.node, ">=24");
  assert.match(unsupportedRuntime({ node: "23.11.1" }) ?? "", SENTENCE);
  assert.equal(unsupportedRuntime({ node: "24.0.0" }), null);
  assert.equal(unsupportedRuntime({ node: "100.0.0" }), null);
});

test("Bun and Deno, which report some version of Node, are not refused by it", () => {
  assert.equal(unsupportedRuntime({ node: "20.11.1", deno: "2.1.0" }), null);
  assert.equal(unsupportedRuntime({ node: "22.6.0", bun: "1.2.0" }), null);
});

describe("on a Node that is too old", async () => {
  for (const { name, program, args } of await oldRuntimes()) {
    for (const command of ["serve", "doctor", "--version"]) {
      test(`fixity ${command} names the required version (${name})`, async () => {
        const running = run(program, [...args, join(built, "dist/cli/main.js"), command]);
        const failure = await running.then(
          () => assert.fail("it should not run"),
          (error: unknown) => error as { code: number; stderr: string; stdout: string },
        );
        assert.equal(failure.code, 2);
        assert.match(failure.stderr, SENTENCE);
        assert.equal(failure.stderr.trim().split("\n").length, 1);
        assert.equal(failure.stdout, "");
      });
    }

    for (const entry of ["index", "disk", "s3", "memory", "fastify", "node", "fetch", "server", "store-contract"]) {
      test(`importing ${entry}.js names the required version (${name})`, async () => {
        const url = JSON.stringify(join(built, "dist", `${entry}.js`));
        const script = `import(${url}).then(() => console.log("imported"), ({ code, message }) => console.log(code + "\\n" + message));`;
        const { stdout } = await run(program, [...args, "-e", script]);
        assert.match(stdout, /^unsupported-runtime$/m);
        assert.match(stdout, SENTENCE);
      });
    }

    test(`the client can be imported, and names the required version when it is made (${name})`, async () => {
      const url = JSON.stringify(join(built, "dist/client/node.js"));
      const script = `import(${url}).then(({ createClient }) => createClient({ endpoint: "http://localhost/uploads" })).catch(({ code, message }) => console.log(code + "\\n" + message));`;
      const { stdout } = await run(program, [...args, "-e", script]);
      assert.match(stdout, /^unsupported-runtime$/m);
      assert.match(stdout, SENTENCE);
    });
  }
});
