/**
 * Removes the declaration files that no entry of the package refers to: `tsc` writes one for each
 * module, and most are internal.
 */
import { globSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import packageJson from "../package.json" with { type: "json" };

const entries = [...JSON.stringify(packageJson.exports).matchAll(/"\.\/(dist\/[^"]+\.d\.ts)"/g)];

const reached = new Set(entries.map(([, file = ""]) => file));
for (const file of reached) {
  const text = readFileSync(file, "utf8");
  for (const [, target = ""] of text.matchAll(/(?:from|import|import\() ?"(\.[^"]+)"/g)) {
    reached.add(path.join(path.dirname(file), target.replace(/(?:\.d)?\.[jt]sx?$/, ".d.ts")));
  }
}

for (const file of globSync("dist/**/*.d.ts")) if (!reached.has(file)) rmSync(file);
