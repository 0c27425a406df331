import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const PAGE = new URL("src/web/", import.meta.url);

/** Files that compress well. */
const COMPRESSIBLE = /\.(?:css|js|svg)$/;
const COMPRESSED_FILE_MIN_BYTES = 512;

/**
 * Writes a `.br` beside each file: Brotli at its best level takes seconds, too long for the start of
 * a server. The server makes the gzip form itself.
 */
function precompressed(): Plugin {
  return {
    name: "precompressed",
    apply: "build",
    async writeBundle({ dir = "" }, bundle) {
      const names = Object.keys(bundle).filter((name) => COMPRESSIBLE.test(name));
      await Promise.all(names.map((name) => compress(`${dir}/${name}`)));
    },
  };
}

async function compress(path: string): Promise<void> {
  const content = await readFile(path);
  if (content.length < COMPRESSED_FILE_MIN_BYTES) return;
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }));
}

/** Starts the page's script. Its text is constant, and the page's policy knows its digest. */
const STARTER = 'document.head.append(document.importNode(document.querySelector("template").content, true));';

/**
 * Lets a small script in the page start the entry script, which stands in a template. What a script
 * inserts may load more by `import()` under `'strict-dynamic'`; a script that the parser has
 * inserted may not. Both stand at the end of the page, because an inserted script does not wait for
 * the rest. The entry script has its digest beside it.
 */
function startedScript(): Plugin {
  return {
    name: "started-script",
    apply: "build",
    async writeBundle({ dir = "" }) {
      const page = `${dir}/index.html`;
      const html = await readFile(page, "utf8");
      const [tag = "", start = "", path = ""] = /(<script [^>]*src="\.\/([^"]+)")><\/script>/.exec(html) ?? [];
      if (path === "") throw new Error("the page has no script");
      const digest = createHash("sha256")
        .update(await readFile(`${dir}/${path}`))
        .digest("base64");
      const template = `<template>${start} integrity="sha256-${digest}"></script></template>`;
      const scripts = `  ${template}\n    <script>${STARTER}</script>\n  </body>`;
      await writeFile(
        page,
        html.replace(tag, "").replace("</body>", () => scripts),
      );
    },
  };
}

/** The client names its compiled worker; in the source tree the worker is TypeScript. */
function workerFromSource(): Plugin {
  return {
    name: "worker-from-source",
    enforce: "pre",
    async transform(code, id) {
      if (!id.startsWith(fileURLToPath(new URL("src/", import.meta.url)))) return null;
      return code.replace(
        'new URL("./client/hash-worker.js", import.meta.url)',
        'new URL("./client/hash-worker.ts", import.meta.url)',
      );
    },
  };
}

export default defineConfig({
  root: fileURLToPath(PAGE),
  // Relative to the page, so that a proxy may serve it below any path.
  base: "./",
  publicDir: false,
  resolve: {
    alias: { "@transloadit/prettier-bytes": fileURLToPath(new URL("uploader/prettier-bytes.ts", PAGE)) },
  },
  plugins: [workerFromSource(), startedScript(), precompressed()],
  worker: { format: "es" },
  build: {
    outDir: fileURLToPath(new URL("dist/web/", import.meta.url)),
    emptyOutDir: true,
    assetsDir: "page",
    // The page's policy allows no `data:`.
    assetsInlineLimit: 0,
    // The licenses of bundled packages, for the published package.
    license: { fileName: "licenses.md" },
    modulePreload: { polyfill: false },
    target: "es2023",
    reportCompressedSize: false,
    // Compression takes most of the time, as expected.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
