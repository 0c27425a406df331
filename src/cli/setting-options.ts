import { type Command, Option } from "commander";
import { flagOf } from "../settings/config.ts";
import type { Setting } from "../settings/kinds.ts";
import { SETTING_GROUPS } from "../settings/setting-groups.ts";
import { isStoreSetting, SETTINGS, type Settings } from "../settings/settings.ts";
import { DEFAULT_ENDPOINT } from "./remote.ts";

/*
 * The settings as flags: in the help they stand in groups, and a command lists those that it uses.
 */

type SettingName = keyof Settings;

/** Where the store is. */
const PLACE: readonly SettingName[] = [
  "dir",
  "bucketName",
  "bucketRegion",
  "bucketEndpoint",
  "bucketAccessKey",
  "bucketSecretKey",
  "bucketSessionToken",
  "bucketPrefix",
  "bucketPathStyle",
];

/** What `copy` has no argument for: settings that both of its places share. */
const COPY_SETTINGS: readonly SettingName[] = [
  "dirGroup",
  "durability",
  "bucketRegion",
  "bucketEndpoint",
  "bucketAccessKey",
  "bucketSecretKey",
  "bucketSessionToken",
  "bucketPathStyle",
  "bucketPartSize",
  "bucketEqualParts",
  "bucketMaxParts",
  "memory",
];

/** Where events go, and the links in them. */
const EVENTS: readonly SettingName[] = ["webhookUrl", "webhookSecret", "webhookSecretFile", "prefix", "publicUrl"];

/** The commands that work on the store of a server. */
export type StoreCommand =
  | "ls"
  | "rm"
  | "copy"
  | "import"
  | "block"
  | "unblock"
  | "events"
  | "gc"
  | "doctor"
  | "verify";

/** The settings that the commands for stores use. The others of a store are accepted as well. */
export const USED_SETTINGS: Readonly<Record<StoreCommand, readonly SettingName[]>> = {
  ls: PLACE,
  rm: [...PLACE, ...EVENTS],
  /** Both of its places are arguments. */
  copy: COPY_SETTINGS,
  block: PLACE,
  unblock: PLACE,
  events: PLACE,
  import: [...PLACE, "dirGroup", "durability", "bucketPartSize", "bucketEqualParts", "bucketMaxParts", "memory"],
  /** It removes uploads that have expired, and completes others. */
  gc: [...PLACE, "expiry", ...EVENTS],
  /** It tests what these make the store do. */
  doctor: [...PLACE, "dirGroup", "bucketPartSize", "bucketEqualParts", "bucketMaxParts"],
  /** It stores what it repairs. */
  verify: [
    ...PLACE,
    "dirGroup",
    "durability",
    "bucketPartSize",
    "bucketEqualParts",
    "bucketMaxParts",
    "memory",
    ...EVENTS,
  ],
};

/**
 * The settings that `isTaken` selects as options, without secrets: other users of the machine can
 * read the arguments of a process.
 *
 * @param shown those in the help; default all
 */
export function settingOptions(isTaken: (name: string) => boolean, shown?: readonly string[]): Option[] {
  return selected(isTaken)
    .filter(({ setting }) => setting.secret !== true)
    .map(({ name, group, setting: { env, defaultText, value, help } }) => {
      const source = defaultText === undefined ? env : `${env}, default ${defaultText}`;
      const option = new Option(`${flagOf(name)} <${value}>`, `${help} (${source})`).helpGroup(group);
      return shown === undefined || shown.includes(name) ? option : option.hideHelp();
    });
}

/** The part of the help that lists the secrets among the settings. */
export function secretsHelp(isTaken: (name: string) => boolean): string {
  const secrets = selected(isTaken).filter(({ setting }) => setting.secret === true);
  const width = Math.max(...secrets.map(({ setting }) => setting.env.length)) + 2;
  const lines = secrets.map(({ setting: { env, help } }) => `  ${env.padEnd(width)}${help}`);
  return `\nOnly from the environment:\n${lines.join("\n")}\n\nFlags override environment variables.`;
}

interface GroupedSetting {
  readonly name: SettingName;
  readonly group: string;
  readonly setting: Setting<unknown>;
}

function selected(isTaken: (name: string) => boolean): GroupedSetting[] {
  return SETTING_GROUPS.flatMap(({ title, settings }) =>
    (Object.keys(settings) as SettingName[])
      .filter((name) => isTaken(name))
      .map((name) => ({ name, group: `${title}:`, setting: SETTINGS[name] as Setting<unknown> })),
  );
}

/** Adds a command. */
export function addCommand(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).showHelpAfterError(`See 'fixity ${name} --help'.`);
}

/**
 * Adds a command that works on the store that `serve` would use. It takes all settings of a store as
 * flags, so that those of a server can be repeated, and lists those that it uses.
 */
export function addStoreCommand(program: Command, name: StoreCommand, description: string): Command {
  const command = addCommand(program, name, description).option("--json", "print one JSON object per line");
  const used: readonly string[] = USED_SETTINGS[name];
  const isTaken = (setting: string): boolean => used.includes(setting) || isStoreSetting(setting);
  for (const option of settingOptions(isTaken, used)) command.addOption(option);
  return command.addHelpText("after", secretsHelp(isTaken));
}

/** A flag for the URL of a service. */
export function serviceOption(flag: string): Option {
  return new Option(
    `${flag} <url>`,
    `URL of the service (FIXITY_URL, default the latest login, or ${DEFAULT_ENDPOINT})`,
  );
}
