import { execFile } from "node:child_process";
import { cp, mkdir, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Gives a folder a `node_modules` with the package as it is built now, without types and the upload
 * page, and with the dependencies of this repository.
 */
export async function installBuiltPackage(project: string): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(join(modules, "fixity"), { recursive: true });
  const rolldown = join(ROOT, "node_modules/.bin/rolldown");
  await promisify(execFile)(rolldown, ["-c", "-d", join(modules, "fixity/dist")], { cwd: ROOT });
  await cp(join(ROOT, "package.json"), join(modules, "fixity/package.json"));
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    await symlink(join(ROOT, "node_modules", name), join(modules, name));
  }
}
