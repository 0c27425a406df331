import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HELLO = "hello from an example";

/** A project of somebody who has installed the package, with the examples in it. */
let project = "";

before(async () => {
  project = await mkdtemp(join(tmpdir(), "fixity-package-"));
  const stage = await buildBeside(join(project, "stage"));
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", project];
  const { stdout } = await run("npm", pack, { cwd: stage });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await mkdir(join(project, "node_modules"));
  await run("tar", ["-xzf", join(project, filename), "-C", project]);
  await cp(join(project, "package"), join(project, "node_modules/fixity"), { recursive: true });
  // what npm would install beside it
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    await symlink(join(ROOT, "node_modules", name), join(project, "node_modules", name));
  }
  await cp(join(ROOT, "examples"), project, { recursive: true });
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
});

/** What `npm run build` makes, in a folder of its own: the page that is in `dist` serves other tests at the same time. */
async function buildBeside(stage: string): Promise<string> {
  const bin = join(ROOT, "node_modules/.bin");
  const out = join(stage, "dist");
  await mkdir(stage);
  for (const name of ["package.json", "README.md", "CHANGELOG.md", "LICENSE"]) {
    await cp(join(ROOT, name), join(stage, name));
  }
  await run(join(bin, "vite"), ["build", "--logLevel", "warn", "--outDir", join(out, "web")], { cwd: ROOT });
  for (const program of ["tsconfig.build.json", "src/uppy"]) {
    await run(join(bin, "tsc"), ["-p", program, "--outDir", out], { cwd: ROOT });
  }
  return stage;
}

after(() => rm(project, { recursive: true, force: true }));

test("the package holds what runs and nothing of the tests", async () => {
  const files = await readdir(join(project, "package"), { recursive: true });
  assert.ok(files.includes("dist/cli/main.js"));
  assert.ok(files.includes("dist/web/index.html"));
  assert.deepEqual(
    files.filter((file) => /\.test\.|^(src|test|bench)\b/.test(file)),
    [],
  );
});

test("every entry can be imported, and the command runs", async () => {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith("package.json"));
  const script = entries.map((entry) => `await import(${JSON.stringify(entry.replace(".", "fixity"))});`).join("\n");
  await writeFile(join(project, "imports.js"), script);
  await run(process.execPath, ["imports.js"], { cwd: project });
  const main = join(project, "node_modules/fixity/dist/cli/main.js");
  const { stdout } = await run(process.execPath, [main, "--version"]);
  assert.match(stdout, /^\d+\.\d+\.\d+/);
});

test("every entry but the plugin can be imported where there is no Uppy", async () => {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  const entries = Object.keys(exports).filter((entry) => !/package\.json$|uppy$/.test(entry));
  const script = `
    import assert from "node:assert/strict";
    import { registerHooks } from "node:module";
    registerHooks({
      resolve: (name, context, next) => {
        if (name.startsWith("@uppy/")) throw new Error("there is no Uppy");
        return next(name, context);
      },
    });
    for (const entry of ${JSON.stringify(entries)}) await import(entry.replace(".", "fixity"));
    await assert.rejects(import("fixity/uppy"), /there is no Uppy/);
  `;
  await writeFile(join(project, "without-uppy.js"), script);
  await run(process.execPath, ["without-uppy.js"], { cwd: project });
});

test("the page of docs/uppy.md agrees with the declared types", async () => {
  const text = await readFile(join(ROOT, "docs/uppy.md"), "utf8");
  const example = /^```ts\n(.*?)^```/ms.exec(text)?.[1];
  assert.ok(example !== undefined && example.includes(".use(Fixity"));
  // style sheets are a bundler's
  await writeFile(join(project, "docs-uppy.mts"), example.replaceAll(/^import ".*\.css";$/gm, ""));
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--skipLibCheck"];
  const lib = ["--lib", "es2024,dom,dom.iterable", "--types", ""];
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [tsc, ...options, ...lib, "docs-uppy.mts"], { cwd: project });
});

test("the examples agree with the declared types", async () => {
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--skipLibCheck",
    "--types",
    "node",
  ];
  const names = (await readdir(project)).filter((name) => name.endsWith(".ts"));
  await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...options, ...names], { cwd: project });
});

/** A running example, and its address. */
interface Example extends AsyncDisposable {
  readonly url: string;
}

async function start(name: string): Promise<Example> {
  const env = { ...process.env, PORT: "0", UPLOAD_DIR: join(project, `data-${name}`) };
  const child: ChildProcess = spawn(process.execPath, [name], {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(child.stdout);
  for await (const line of createInterface(child.stdout)) {
    const url = /http:\/\/\S+/.exec(line)?.[0];
    if (url === undefined) continue;
    return {
      url,
      async [Symbol.asyncDispose]() {
        child.kill();
        await once(child, "exit");
      },
    };
  }
  throw new Error(`${name} told no address`);
}

const SERVERS: readonly (readonly [name: string, prefix: string, headers: Record<string, string>])[] = [
  ["node-http.ts", "/uploads", {}],
  ["express.ts", "/uploads", { authorization: "Bearer let-me-in-please" }],
  ["fastify.ts", "/files", {}],
  ["hono.ts", "/uploads", {}],
];

for (const [name, prefix, headers] of SERVERS) {
  test(`${name} takes a file and serves it`, async () => {
    await using example = await start(name);
    const form = new FormData();
    form.append("upload", new File([HELLO], "a.txt"));
    const stored = await fetch(example.url + prefix, { method: "POST", body: form, headers });
    assert.equal(stored.status, 201);
    const { url } = (await stored.json()) as { url: string };
    assert.equal(await (await fetch(new URL(url, example.url))).text(), HELLO);
  });
}

test("no-http.ts stores, reads, verifies and refuses", async () => {
  const env = { ...process.env, UPLOAD_DIR: join(project, "data-no-http") };
  const { stdout } = await run(process.execPath, ["no-http.ts"], { cwd: project, env });
  assert.match(stdout, /^\/uploads\/[0-9a-f]{64}\.ts \d+ is new\n/);
  assert.match(stdout, /… true\ndigest-mismatch\n$/);
});

test("own-store.ts keeps the contract", async () => {
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const { stdout } = await run(process.execPath, ["own-store.ts"], { cwd: project, env });
  assert.match(stdout, /^. fail 0$/m);
  assert.doesNotMatch(stdout, /^. pass 0$/m);
});
