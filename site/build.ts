/**
 * Builds the documentation site into `site/dist`: `npm run docs:build`. With `dev` as argument, it
 * serves the pages instead and follows their changes: `npm run docs:dev`. The site's own packages
 * are installed first if they are missing or older than their lock file.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const SITE = fileURLToPath(new URL(".", import.meta.url));
const INSTALLED = path.join(SITE, "node_modules/.package-lock.json");

function isInstalled(): boolean {
  return existsSync(INSTALLED) && statSync(INSTALLED).mtimeMs >= statSync(path.join(SITE, "package-lock.json")).mtimeMs;
}

if (!isInstalled()) execFileSync("npm", ["ci", "--ignore-scripts"], { cwd: SITE, stdio: "inherit" });

execFileSync(process.execPath, [path.join(SITE, "../node_modules/typescript/bin/tsc"), "-p", SITE], {
  stdio: "inherit",
});

const { writeApi } = await import("./api.ts");
await writeApi();
// what the home page shows; pages' own pictures stay beside them
mkdirSync(path.join(SITE, "public"), { recursive: true });
for (const file of ["src/web/icon.svg", "docs/images/upload-page.png", "docs/images/upload-page-dark.png"]) {
  copyFileSync(path.join(SITE, "..", file), path.join(SITE, "public", path.basename(file)));
}

const [command = "build"] = process.argv.slice(2);
const vitepress = path.join(SITE, "node_modules/vitepress/bin/vitepress.js");
execFileSync(process.execPath, [vitepress, command, SITE], { stdio: "inherit" });

if (command === "build") {
  const { checkSite } = await import("./check.ts");
  checkSite(path.join(SITE, "dist"));
}
