import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DeclarationFiles } from "./unexported-types.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HELLO = "hello from an example";

/** A project of somebody who has installed the package, with the examples in it. */
let project = "";
let tarball = "";

/** This Node comes first, also for programs that scripts start. */
const ENV = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
  NODE_TEST_CONTEXT: undefined,
};

before(async () => {
  project = await mkdtemp(join(tmpdir(), "fixity-package-"));
  const { filename } = await packClone(await cleanClone(join(project, "clone")), project);
  tarball = join(project, filename);
  await mkdir(join(project, "node_modules"));
  await run("tar", ["-xzf", tarball, "-C", project]);
  await cp(join(project, "package"), join(project, "node_modules/fixity"), { recursive: true });
  // what npm would install beside it
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    await symlink(join(ROOT, "node_modules", name), join(project, "node_modules", name));
  }
  await cp(join(ROOT, "examples"), project, { recursive: true });
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
});

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

/** What `npm pack --json` prints. Nothing but JSON may be on its standard output. */
async function packClone(clone: string, destination: string): Promise<{ readonly filename: string }> {
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", destination], { cwd: clone, env: ENV });
  const packed = JSON.parse(stdout) as Record<string, { filename: string }> | { filename: string }[];
  const [first] = Object.values(packed);
  assert.ok(first !== undefined);
  return first;
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
  const names = Object.keys(exports).filter((entry) => !entry.endsWith("package.json"));
  const script = names.map((entry) => `await import(${JSON.stringify(entry.replace(".", "fixity"))});`).join("\n");
  await writeFile(join(project, "imports.js"), script);
  await run(process.execPath, ["imports.js"], { cwd: project });
  const main = join(project, "node_modules/fixity/dist/cli/main.js");
  const { stdout } = await run(process.execPath, [main, "--version"]);
  assert.match(stdout, /^\d+\.\d+\.\d+/);
});

test("every entry but the plugin can be imported where there is no Uppy", async () => {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  const names = Object.keys(exports).filter((entry) => !/package\.json$|uppy$/.test(entry));
  const script = `
    import assert from "node:assert/strict";
    import { registerHooks } from "node:module";
    registerHooks({
      resolve: (name, context, next) => {
        if (name.startsWith("@uppy/")) throw new Error("there is no Uppy");
        return next(name, context);
      },
    });
    for (const entry of ${JSON.stringify(names)}) await import(entry.replace(".", "fixity"));
    await assert.rejects(import("fixity/uppy"), /there is no Uppy/);
  `;
  await writeFile(join(project, "without-uppy.js"), script);
  await run(process.execPath, ["without-uppy.js"], { cwd: project });
});

/** Each entry's name, as importers write it, and its declaration files (one for each condition). */
async function entries(): Promise<(readonly [name: string, declarations: string])[]> {
  const { exports } = (await import("../../package.json", { with: { type: "json" } })).default;
  const found: (readonly [string, string])[] = [];
  for (const [entry, target] of Object.entries(exports) as [string, unknown][]) {
    for (const [path] of JSON.stringify(target).matchAll(/(?<=")[^"]+\.d\.ts(?=")/g)) {
      found.push([entry.replace(".", "fixity"), join(project, "node_modules/fixity", path)]);
    }
  }
  return found;
}

test("each entry exports all types that its public signatures mention", async () => {
  const files = new DeclarationFiles();
  const missing: Record<string, string[]> = {};
  for (const [, declarations] of await entries()) {
    const names = await files.unexportedTypes(declarations);
    if (names.length > 0) missing[declarations] = names;
  }
  assert.deepEqual(missing, {});
  // the reader itself finds what is hidden
  const hidden = join(project, "hidden.d.ts");
  await writeFile(hidden, "interface Hidden {\n}\nexport declare function shown(hidden: Hidden): void;\nexport {};\n");
  assert.deepEqual(await files.unexportedTypes(hidden), [`Hidden (${hidden})`]);
});

test("a strict consumer that checks libraries, too, can name all exported types", async () => {
  const files = new DeclarationFiles();
  const lines: string[] = [];
  for (const [index, [name, declarations]] of (await entries()).entries()) {
    const types = (await files.exportedTypes(declarations)).filter((type) => type !== "default");
    const renamed = types.map((type) => `${type} as ${type}${index}`);
    if (types.length > 0) lines.push(`export type { ${renamed.join(", ")} } from "${name}";`);
  }
  assert.ok(lines.join().includes("Exchange as "));
  await writeFile(join(project, "consumer.mts"), lines.join("\n"));
  const options = [
    "--noEmit",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--module",
    "nodenext",
    "--target",
    "es2024",
  ];
  const lib = ["--lib", "es2024,dom,dom.iterable", "--types", "node"];
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [tsc, ...options, ...lib, "--skipLibCheck", "false", "consumer.mts"], { cwd: project });
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
    "--exactOptionalPropertyTypes",
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

function start(name: string): Promise<Example> {
  const env = { ...process.env, PORT: "0", UPLOAD_DIR: join(project, `data-${name}`) };
  return startProgram(process.execPath, [name], { cwd: project, env });
}

async function startProgram(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Example> {
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

const SERVERS: readonly (readonly [name: string, prefix: string, headers: Record<string, string>])[] = [
  ["node-http.ts", "/uploads", {}],
  ["express.ts", "/uploads", { authorization: "Bearer let-me-in-please" }],
  ["fastify.ts", "/files", {}],
  ["hono.ts", "/uploads", {}],
  // test/access/examples.test.ts runs those with users
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

test("the tarball installs into an empty folder, serves by npx, and is embedded", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-installed-"));
  try {
    await writeFile(join(folder, "package.json"), '{ "type": "module", "private": true }');
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], { cwd: folder, env: ENV });
    const env = { ...ENV, PORT: "0", UPLOAD_DIR: join(folder, "served") };
    await using served = await startProgram("npx", ["fixity", "serve"], { cwd: folder, env });
    await assertStores(`${served.url}/uploads`);
    await writeFile(
      join(folder, "embed.js"),
      `
        import { createServer } from "node:http";
        import { createFixity } from "fixity";
        import { diskStore } from "fixity/disk";
        import { nodeHandler } from "fixity/node";
        const fixity = createFixity({ store: diskStore({ root: "embedded" }) });
        const server = createServer(nodeHandler(fixity));
        server.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port));
      `,
    );
    await using embedded = await startProgram(process.execPath, ["embed.js"], { cwd: folder, env });
    await assertStores(`${embedded.url}/uploads`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function assertStores(uploads: string): Promise<void> {
  const stored = await fetch(uploads, { method: "POST", body: HELLO, headers: { "content-type": "text/plain" } });
  assert.equal(stored.status, 201);
  const { url } = (await stored.json()) as { url: string };
  assert.equal(await (await fetch(new URL(url, uploads))).text(), HELLO);
}
