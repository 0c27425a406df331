/**
 * Writes `site/api/`: one page for each entry of the package, from the doc comments of its source.
 * TypeDoc needs TypeScript's JavaScript API, which TypeScript 7 does not have; `site/package.json`
 * has TypeScript 6 for it. docs/decisions/0020-documentation-site.md has the reasons.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Application, Converter, type DeclarationReflection, ReflectionKind } from "typedoc";
import { type Entry, entries } from "./entries.ts";
import { REPOSITORY, ROOT } from "./pages.ts";

const OUTPUT = fileURLToPath(new URL("api/", import.meta.url));

/** @throws Error if a doc comment links to something that does not exist */
export async function writeApi(): Promise<void> {
  const found = entries();
  const entryPoints = found.map(({ source }) => `${ROOT}${source}`);
  const options: object = { ...SOURCES, ...CONTENT, ...LOOK, entryPoints };
  const app = await Application.bootstrapWithPlugins(options);
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const module of project.children ?? []) nameModule(module, found);
    // what the source takes apart in place has no name
    const parameters = project.getReflectionsByKind(ReflectionKind.Parameter);
    for (const parameter of parameters) if (parameter.name === "__namedParameters") parameter.name = "options";
  });
  const project = await app.convert();
  if (project === undefined) throw new Error("TypeDoc cannot read the source");
  app.validate(project);
  await rm(OUTPUT, { recursive: true, force: true });
  await app.generateOutputs(project);
  await Promise.all(found.map(introduce));
  await rm(`${OUTPUT}index.md`);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error("TypeDoc reports problems");
}

const SOURCES = {
  tsconfig: fileURLToPath(new URL("tsconfig.api.json", import.meta.url)),
  // Node's types and the browser's disagree where one file may have only one of them; `npm run types` checks.
  skipErrorChecking: true,
  basePath: ROOT,
  disableGit: true,
  sourceLinkTemplate: `${REPOSITORY}src/{path}#L{line}`,
};

const CONTENT = {
  excludePrivate: true,
  excludeExternals: true,
  excludeInternal: true,
  // what an entry repeats of another is described once
  excludeReferences: true,
  readme: "none",
  validation: { notExported: false, invalidLink: true, notDocumented: false },
  groupOrder: ["Functions", "Classes", "Variables", "Interfaces", "Type Aliases"],
  sort: ["required-first", "alphabetical"],
};

const LOOK = {
  plugin: ["typedoc-plugin-markdown"],
  router: "module",
  out: OUTPUT,
  entryFileName: "index",
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  // its own count of equal headings differs from the site's
  useHTMLAnchors: true,
  expandObjects: true,
  interfacePropertiesFormat: "table",
  classPropertiesFormat: "table",
  typeAliasPropertiesFormat: "table",
  propertyMembersFormat: "table",
  typeDeclarationFormat: "table",
  parametersFormat: "table",
  tableColumnSettings: { hideSources: true, hideModifiers: true },
};

/** Modules are named as users import them. Their pages are named after that. */
function nameModule(module: DeclarationReflection, found: readonly Entry[]): void {
  const source = module.sources?.[0]?.fileName;
  const entry = found.find((one) => source?.endsWith(one.source));
  if (entry === undefined) throw new Error(`no entry has the source ${source}`);
  module.name = entry.name;
}

/** Puts what `docs/api.md` says about an entry at the start of its page. */
async function introduce({ name, page }: Entry): Promise<void> {
  const index = await readFile(`${ROOT}docs/api.md`, "utf8");
  const row = index.split("\n").find((line) => line.startsWith(`| [\`${name}\`]`));
  const [, about = "", more = ""] = row?.split(" | ") ?? [];
  if (about === "") throw new Error(`docs/api.md does not name ${name}`);
  const sentence = `${about[0]?.toUpperCase()}${about.slice(1)}.`;
  const links = more.replaceAll(/\]\(/g, `](${path.relative(path.dirname(page), "docs")}/`).replace(/ \|$/, "");
  const text = await readFile(`${ROOT}${page}`, "utf8");
  const [heading, rest = ""] = text.split(/\n+(.*)/s);
  await writeFile(`${ROOT}${page}`, `${heading}\n\n${sentence}${links === "" ? "" : ` See ${links}.`}\n\n${rest}`);
}

if (import.meta.main) await writeApi();
