/** The size of the plugin in a page that has Uppy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";

const ENTRY = fileURLToPath(new URL("../../src/uppy.ts", import.meta.url));
const MAX_GZIP_BYTES = 17_000;

interface Bundle {
  readonly code: Uint8Array;
  readonly metafile: Metafile;
}

async function bundled(contents: string, external: string[] = []): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    external,
    metafile: true,
    write: false,
  });
  return { code: outputFiles[0]?.contents ?? assert.fail("nothing was built"), metafile };
}

const compressed = ({ code }: Bundle): number => gzipSync(code, { level: 9 }).length;

test(`the plugin and its client have ${MAX_GZIP_BYTES} bytes at most, minified and compressed`, async () => {
  const size = compressed(await bundled(`export { default } from ${JSON.stringify(ENTRY)}`, ["@uppy/core"]));
  assert.ok(size <= MAX_GZIP_BYTES, `${size} bytes`);
});

test("the plugin adds nothing but itself and the client to a page that has Uppy", async () => {
  const uppy = await bundled('export { Uppy } from "@uppy/core"');
  const both = await bundled(`export { Uppy } from "@uppy/core"; export { default } from ${JSON.stringify(ENTRY)}`);
  assert.ok(compressed(both) - compressed(uppy) <= MAX_GZIP_BYTES, `${compressed(both) - compressed(uppy)} bytes`);
  const own = Object.keys(both.metafile.inputs).filter((path) => !path.includes("node_modules/") && path !== "<stdin>");
  assert.ok(own.some((path) => path.endsWith("src/uppy/fixity.ts")));
  assert.deepEqual(
    own.filter((path) => !/src\/(uppy|client)(\.ts$|\/(?!node))|src\/base\//.test(path)),
    [],
  );
});

test("a page that imports the plugin without using it gets nothing of it", async () => {
  const { code } = await bundled(`import Fixity from ${JSON.stringify(ENTRY)}; console.log("page")`, ["@uppy/core"]);
  assert.ok(code.length < 200, `${code.length} bytes`);
});
