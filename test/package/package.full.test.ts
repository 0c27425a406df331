/** The package's types, and all examples, as a user of the package has them. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  addNeighbours,
  assertStores,
  declarations,
  ENV,
  install,
  packCleanClone,
  ROOT,
  run,
  startProgram,
} from "./installed.ts";
import { DeclarationFiles } from "./unexported-types.ts";

let folder = "";
/** A project with the package, the frameworks, and the examples. */
let project = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-examples-"));
  project = join(folder, "project");
  await install(await packCleanClone(folder), project);
  await addNeighbours(project);
  await cp(join(ROOT, "examples"), project, { recursive: true });
});

after(() => rm(folder, { recursive: true, force: true }));

test("a strict consumer that checks libraries, too, can name all exported types", async () => {
  const files = new DeclarationFiles();
  const lines: string[] = [];
  for (const [index, [name, file]] of (await declarations(project)).entries()) {
    const types = (await files.exportedTypes(file)).filter((type) => type !== "default");
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

const SERVERS: readonly (readonly [name: string, prefix: string, headers: Record<string, string>])[] = [
  ["node-http.ts", "/uploads", {}],
  ["express.ts", "/uploads", { authorization: "Bearer let-me-in-please" }],
  ["fastify.ts", "/files", {}],
  ["hono.ts", "/uploads", {}],
  // test/access/examples.test.ts runs those with users
];

for (const [name, prefix, headers] of SERVERS) {
  test(`${name} takes a file and serves it`, async () => {
    const env = { ...ENV, PORT: "0", UPLOAD_DIR: join(folder, `data-${name}`) };
    await using example = await startProgram(process.execPath, [name], { cwd: project, env });
    await assertStores(example.url + prefix, headers);
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
