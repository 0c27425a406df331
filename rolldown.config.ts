import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin, RolldownOptions } from "rolldown";
import packageJson from "./package.json" with { type: "json" };

/*
 * Builds the code of the package from `src`, with its dependencies, so that installing fixity
 * installs nothing else. docs/decisions/0016-one-package.md has the reasons.
 */

const SOURCES = fileURLToPath(new URL("src/", import.meta.url));

const entries = sourcesOf(packageJson.exports);
const programs = {
  ...sourcesOf(packageJson.bin),
  // Scripts of threads: other modules start them by their path.
  "client/hash-worker": "src/client/hash-worker.ts",
  "write-worker": "src/stores/disk/write-worker.ts",
};

/** `dist/a/b.js` of package.json is built from `src/a/b.ts`. */
function sourcesOf(files: object): Record<string, string> {
  const names = JSON.stringify(files).matchAll(/"(?:\.\/)?dist\/([\w/-]+)\.js"/g);
  return Object.fromEntries(Array.from(names, ([, name = ""]) => [name, `src/${name}.ts`]));
}

/** What the user installs, if at all: the credential chain, and what fixity has plugins for. */
const peers = Object.keys(packageJson.peerDependencies);

const config: RolldownOptions = {
  input: { ...entries, ...programs },
  platform: "node",
  // The plugin for Fastify mentions only its types; the server contains it.
  external: peers.filter((name) => name !== "fastify"),
  // Its `main` contains all algorithms, and cannot be reduced to those that are used.
  resolve: { alias: { "hash-wasm": fileURLToPath(new URL("index.esm.js", import.meta.resolve("hash-wasm"))) } },
  transform: { target: "es2025" },
  preserveEntrySignatures: "allow-extension",
  // The one module that is imported for its side effect. It has a file that package.json can name.
  treeshake: { moduleSideEffects: [{ test: /\/require-supported-node\.ts$/, sideEffects: true }] },
  plugins: [movedFiles(), licenses()],
  checks: { pluginTimings: false },
  output: {
    dir: "dist",
    chunkFileNames: "[name]-[hash].js",
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ name: "require-supported-node", test: /\/require-supported-node\.ts$/ }],
    },
  },
};

export default config;

/**
 * Bundled modules are elsewhere than their sources: calls that read a text file beside a module are
 * replaced by the text, and addresses of other parts of `dist` become relative to it.
 */
function movedFiles(): Plugin {
  const readText = /readFileSync\(new URL\("(\.[^"]+)", import\.meta\.url\), "utf8"\)/g;
  return {
    name: "moved-files",
    async transform(code, id) {
      if (!id.startsWith(SOURCES)) return null;
      const texts = new Map<string, string>();
      for (const [call, file = ""] of code.matchAll(readText)) {
        texts.set(call, JSON.stringify(await readFile(path.join(path.dirname(id), file), "utf8")));
      }
      return code
        .replace(readText, (call) => texts.get(call) ?? call)
        .replace(/new URL\("(?:\.\.\/)+dist\//g, 'new URL("./');
    },
  };
}

/** Writes the names, versions and licenses of the packages that the code contains. */
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
      const folders = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []));
      const sections = Array.from(folders, licenseOf).toSorted();
      const head = "# Licenses of the packages that fixity contains\n";
      this.emitFile({ type: "asset", fileName: "licenses.md", source: [head, ...new Set(sections)].join("\n") });
    },
  };
}

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as {
    readonly name: string;
    readonly version: string;
    readonly license: string;
  };
  const files = readdirSync(folder).filter((file) => /^licen[cs]e/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(folder, file), "utf8").replaceAll(/^/gm, "> ").trimEnd());
  return [`## ${name} ${version} (${license})\n`, ...texts].join("\n") + "\n";
}
