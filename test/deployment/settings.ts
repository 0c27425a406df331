import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/settings/config.ts";
import { SETTINGS } from "../../src/settings/settings.ts";

const KNOWN: ReadonlySet<string> = new Set(Object.values(SETTINGS).map(({ env }) => env));

/**
 * The settings of fixity among the variables of a deployment, checked as the server checks them. In
 * place of the files that they name it reads one with a token or key.
 *
 * @throws FixityError `invalid-option` for a setting that does not exist, or a value that is refused
 */
export function settingsOf(env: Readonly<Record<string, string>>): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "fixity-secrets-"));
  try {
    const file = join(folder, "secret");
    writeFileSync(file, "ci=0123456789abcdef0123456789abcdef\n");
    const readable = Object.entries(env).map(([name, value]) => [name, name.endsWith("_FILE") ? file : value]);
    const bucket = env["UPLOAD_BUCKET_SECRET_KEY_FILE"] === undefined ? {} : { UPLOAD_BUCKET_NAME: "a" };
    const endpoint = {
      ...bucket,
      ...("UPLOAD_BUCKET_NAME" in bucket && { UPLOAD_BUCKET_ENDPOINT: "https://s3.local" }),
    };
    readConfig({ env: { ...endpoint, ...Object.fromEntries(readable) } });
    return Object.fromEntries(Object.entries(env).filter(([name]) => KNOWN.has(name)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
