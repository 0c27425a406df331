import { type Config, readConfig } from "../settings/config.ts";
import { type Setting, SETTINGS, type Settings } from "../settings/settings.ts";

/** Variables of the process's environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a command is told what to do. */
export interface CommandSources {
  /** Texts by the name of the setting. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly env: Environment;
}

/** Whether a setting says where and how blobs are kept. */
export function isStoreSetting(name: string): boolean {
  return ["dir", "dirGroup", "durability", "memory"].includes(name) || name.startsWith("bucket");
}

/** Whether a setting is one of those, or says how long unfinished uploads are. */
export function isKeepingSetting(name: string): boolean {
  return name === "expiry" || isStoreSetting(name);
}

/**
 * Reads what concerns the store and what is in it, in the same way as a server does. The rest of a server's settings may be set and is not
 * looked at: whoever collects need not know who may upload.
 *
 * @throws FixityError `invalid-option`
 */
export function readStoreConfig({ flags, env }: CommandSources): Config {
  const others = new Set(
    (Object.entries(SETTINGS) as [keyof Settings, Setting<unknown>][])
      .filter(([name]) => !isKeepingSetting(name))
      .map(([, setting]) => setting.env),
  );
  const concerning = Object.entries(env).filter(([name]) => !others.has(name));
  return readConfig({ flags, env: Object.fromEntries(concerning) });
}
