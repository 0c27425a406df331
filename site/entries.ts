import { readFileSync } from "node:fs";
import { ROOT } from "./pages.ts";

/** An entry of the package: its name for importers, its source in the repository, and its page on the site. */
export interface Entry {
  readonly name: string;
  readonly source: string;
  readonly page: string;
}

/** Entries without an interface: a worker's script, and package.json. */
const WITHOUT_PAGE = new Set(["./client/worker", "./package.json"]);

export function entries(): readonly Entry[] {
  const { exports } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as { exports: Record<string, unknown> };
  return Object.entries(exports)
    .filter(([key]) => !WITHOUT_PAGE.has(key))
    .map(([key, target]) => {
      // the entry for Node comes first, and has all that the browser's has
      const [, file = ""] = /"\.\/dist\/([^"]+)\.d\.ts"/.exec(JSON.stringify(target)) ?? [];
      const name = key.replace(".", "fixity");
      return { name, source: `src/${file}.ts`, page: `site/api/${name}.md` };
    });
}
