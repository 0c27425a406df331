/** The size of the client in a page. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ENTRY = fileURLToPath(new URL("../../src/client.ts", import.meta.url));
const MAX_GZIP_BYTES = 16_000;

async function bundled(contents: string): Promise<{ code: Uint8Array; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: "." },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    metafile: true,
    write: false,
  });
  return { code: outputFiles[0]?.contents ?? assert.fail("nothing was built"), inputs: Object.keys(metafile.inputs) };
}

test(`the client for browsers has ${MAX_GZIP_BYTES} bytes at most, minified and compressed`, async () => {
  const { code } = await bundled(`export * from ${JSON.stringify(ENTRY)}`);
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size <= MAX_GZIP_BYTES, `${size} bytes`);
});

test("the client for browsers contains nothing of Node and of the server", async () => {
  const { inputs } = await bundled(`export * from ${JSON.stringify(ENTRY)}`);
  assert.ok(inputs.some((path) => path.endsWith("src/client/resumable-upload.ts")));
  assert.deepEqual(
    inputs.filter((path) => path !== "<stdin>" && !/src\/client\.ts$|src\/client\/(?!node)|src\/base\//.test(path)),
    [],
  );
});

test("a page that imports only the client's error gets nothing else of it", async () => {
  const { code } = await bundled(
    `import { FixityClientError } from ${JSON.stringify(ENTRY)}; console.log(FixityClientError)`,
  );
  assert.ok(code.length < 1000, `${code.length} bytes`);
});
