/** The package as its users get it: packed from a clean clone, and installed into an empty folder. */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  addNeighbours,
  assertStores,
  declarations,
  ENV,
  entryNames,
  install,
  packCleanClone,
  ROOT,
  run,
  startProgram,
} from "./installed.ts";
import { DeclarationFiles } from "./unexported-types.ts";

let folder = "";
/** Has the package and nothing else. */
let alone = "";
/** Has the frameworks and the bundler of this repository, too. */
let app = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-package-"));
  alone = join(folder, "alone");
  app = join(folder, "app");
  await install(await packCleanClone(folder), alone);
  await cp(alone, app, { recursive: true });
  await addNeighbours(app);
});

after(() => rm(folder, { recursive: true, force: true }));

/** Runs a module in a process of its own, in the folder that has the package alone. */
async function evaluate(code: string): Promise<string> {
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: alone, env: ENV });
  return stdout;
}

test("one package is installed, which holds what runs and nothing of the tests", async () => {
  const names = await readdir(join(alone, "node_modules"));
  assert.deepEqual(
    names.filter((name) => !name.startsWith(".")),
    ["fixity"],
  );
  const files = await readdir(join(alone, "node_modules/fixity"), { recursive: true });
  for (const file of ["dist/cli/main.js", "dist/web/index.html", "dist/licenses.md", "docs/http.md"]) {
    assert.ok(files.includes(file), file);
  }
  assert.deepEqual(
    files.filter((file) => /\.test\.|^(src|test|bench)\b|\.map$/.test(file)),
    [],
  );
});

test("every entry can be imported where nothing else is installed, but for plugins of a peer", async () => {
  const names = JSON.stringify(await entryNames());
  const missing = await evaluate(`
    for (const name of ${names}) {
      await import("fixity" + name).catch(({ message }) => console.log(name, /package '([^']+)'/.exec(message)?.[1]));
    }
  `);
  const plugins = missing.split("\n").filter((line) => line !== "" && !line.startsWith("/react"));
  assert.deepEqual(plugins, ["/uppy @uppy/core"]);
});

test("every entry exports what its source does", async () => {
  const names = (await entryNames()).filter((name) => !/^\/(?:uppy|react|client)/.test(name));
  const exported = await evaluate(`
    const exported = {};
    for (const name of ${JSON.stringify(names)}) exported[name] = Object.keys(await import("fixity" + name)).sort();
    console.log(JSON.stringify(exported));
  `);
  for (const [name, keys] of Object.entries(JSON.parse(exported) as Record<string, string[]>)) {
    const source = (await import(join(ROOT, `src${name === "" ? "/index" : name}.ts`))) as object;
    assert.deepEqual(keys, Object.keys(source).sort(), name);
  }
});

/** What an import loads: the packages that its files contain, and the number of files. */
async function loadedBy(...names: string[]): Promise<{ readonly packages: readonly string[]; readonly files: number }> {
  const report = await evaluate(`
    import { readFileSync } from "node:fs";
    import { registerHooks } from "node:module";
    const files = new Set();
    registerHooks({ load: (url, context, next) => (url.startsWith("file:") && files.add(url), next(url, context)) });
    for (const name of ${JSON.stringify(names)}) await import(name);
    const packages = new Set();
    for (const url of files) {
      const comments = readFileSync(new URL(url), "utf8").matchAll(/^\\/\\/ .*?\\bnode_modules\\/((?:@[^/\\n]+\\/)?[^/\\n]+)/gm);
      for (const [, name] of comments) packages.add(name);
    }
    console.log(JSON.stringify({ packages: [...packages].sort(), files: files.size }));
  `);
  return JSON.parse(report) as { packages: string[]; files: number };
}

test("an import loads only the packages that it needs", async () => {
  assert.deepEqual((await loadedBy("fixity/client")).packages, []);
  assert.deepEqual((await loadedBy("fixity", "fixity/disk")).packages, ["mime"]);
  const http = ["content-disposition", "mime", "structured-headers"];
  assert.deepEqual((await loadedBy("fixity/node", "fixity/disk")).packages, http);
  assert.deepEqual((await loadedBy("fixity/fastify")).packages, http);
  assert.deepEqual((await loadedBy("fixity/fetch")).packages, http);
  // the check finds what is there
  assert.ok((await loadedBy("fixity/s3")).packages.includes("undici"));
  assert.ok((await loadedBy("fixity/server")).packages.includes("pino"));
});

test("each entry exports all types that its public signatures mention", async () => {
  const files = new DeclarationFiles();
  const missing: Record<string, string[]> = {};
  for (const [, file] of await declarations(alone)) {
    const names = await files.unexportedTypes(file);
    if (names.length > 0) missing[file] = names;
  }
  assert.deepEqual(missing, {});
  // the reader itself finds what is hidden
  const hidden = join(folder, "hidden.d.ts");
  await writeFile(hidden, "interface Hidden {\n}\nexport declare function shown(hidden: Hidden): void;\nexport {};\n");
  assert.deepEqual(await files.unexportedTypes(hidden), [`Hidden (${hidden})`]);
});

test("npx fixity serves, and puts a file, where nothing else is installed", async () => {
  const env = { ...ENV, PORT: "0", UPLOAD_DIR: join(folder, "served") };
  await using server = await startProgram("npx", ["fixity", "serve"], { cwd: alone, env });
  await writeFile(join(alone, "note.txt"), "a note");
  const put = ["fixity", "put", "note.txt", "--to", server.url];
  const { stdout } = await run("npx", put, { cwd: alone, env: ENV });
  assert.equal(await (await fetch(stdout.trim())).text(), "a note");
  const page = await (await fetch(`${stdout.trim()}?view`)).text();
  assert.match(page, /<style>[^]+<\/style>/);
  const upload = await (await fetch(server.url)).text();
  assert.match(upload, /<script>/);
});

test("without keys of a bucket, the missing credential chain is named with the command that installs it", async () => {
  const env = { ...ENV, UPLOAD_BUCKET_NAME: "uploads", UPLOAD_BUCKET_ENDPOINT: "http://127.0.0.1:9", PORT: "0" };
  await assert.rejects(run("npx", ["fixity", "serve"], { cwd: alone, env }), ({ stderr }: { stderr: string }) => {
    assert.match(stderr, /npm install @aws-sdk\/credential-provider-node/);
    return true;
  });
});

test("an Express app has uploads, small ones at the same time, too", async () => {
  const program = `
    import express from "express";
    import { createFixity } from "fixity";
    import { diskStore } from "fixity/disk";
    import { nodeHandler } from "fixity/node";
    const app = express();
    app.use(nodeHandler(createFixity({ store: diskStore({ root: ${JSON.stringify(join(folder, "embedded"))} }) })));
    const server = app.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port));
  `;
  await writeFile(join(app, "express-app.js"), program);
  await using running = await startProgram(process.execPath, ["express-app.js"], { cwd: app, env: ENV });
  const uploads = `${running.url}/uploads`;
  await assertStores(uploads);
  // threads write many small files: their script is a file of the package
  const texts = Array.from({ length: 64 }, (_, index) => `file ${index}`);
  const stored = await Promise.all(texts.map(async (body) => fetch(uploads, { method: "POST", body })));
  assert.ok(stored.every(({ status }) => status === 201));
});

test("Vite builds a page with the client, and with its worker", async () => {
  await mkdir(join(app, "site"));
  await writeFile(join(app, "site/index.html"), '<script type="module" src="./main.js"></script>');
  await writeFile(
    join(app, "site/main.js"),
    'import { createClient } from "fixity/client"; globalThis.client = createClient({ endpoint: "/uploads" });',
  );
  const vite = join(ROOT, "node_modules/vite/bin/vite.js");
  await run(process.execPath, [vite, "build", "site", "--outDir", join(folder, "site"), "--logLevel", "warn"], {
    cwd: app,
  });
  const assets = join(folder, "site/assets");
  const names = await readdir(assets);
  assert.equal(names.filter((name) => /^hash-worker-.*\.js$/.test(name)).length, 1, names.join());
  const page = names.find((name) => name.startsWith("index-")) ?? "";
  const script = await readFile(join(assets, page), "utf8");
  assert.doesNotMatch(script, /node:|process\.versions/);
  assert.ok(gzipSync(script).length < 16_000, `${gzipSync(script).length} bytes`);
});
