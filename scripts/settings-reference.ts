/**
 * Writes `docs/settings.md`, the reference of all settings of the server, from the table of settings
 * and their groups: `npm run docs:settings`. A test compares the page with them.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { flagOf } from "../src/settings/config.ts";
import { type Setting, text } from "../src/settings/kinds.ts";
import { SETTING_GROUPS, type SettingGroup } from "../src/settings/setting-groups.ts";
import { SETTINGS, type Settings } from "../src/settings/settings.ts";

/** The page. */
export const REFERENCE_PATH: string = fileURLToPath(new URL("../docs/settings.md", import.meta.url));

const HEAD = `# Settings of the server

<!-- Written by npm run docs:settings, from src/settings/settings.ts and src/settings/setting-groups.ts. Do not edit. -->

The settings of \`fixity serve\`. \`gc\`, \`verify\` and \`doctor\` use those of the store, and ignore the rest.

- Every setting is a variable of the environment. All but secrets are also flags, which override variables. An empty
  variable counts as unset.
- An unknown variable that begins with \`UPLOAD_\`, an unknown flag and an invalid value are refused at the start, by name.
- A size has a unit (\`KiB\`, \`MiB\`, \`GiB\`, \`TiB\`, or \`kB\`, \`MB\`, … in powers of ten) or is a number of bytes. A
  duration has a unit: \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`.
- Settings are read at the start. \`SIGHUP\` reads the [files of tokens and keys](operations.md#tokens-and-keys) again, and
  nothing else.
- **secret**: the setting has no flag, because other users of the machine can read the arguments of a process, and no
  message contains its value.

The commands that talk to a server have settings of their own: [cli.md](cli.md). The options of an embedded service are
in its types ([embedding.md](embedding.md)).
`;

/** The text of `docs/settings.md`. */
export function settingsReference(): string {
  return [HEAD, ...SETTING_GROUPS.map(section)].join("\n");
}

function section({ title, about, settings }: SettingGroup): string {
  const rows = (Object.entries(settings) as [keyof Settings, string | null][]).map(([name, doc]) => row(name, doc));
  return `## ${title}\n\n${about}\n\n| setting | default | value | |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`;
}

function row(name: keyof Settings, doc: string | null): string {
  const { env, secret, kind, defaultText, value: placeholder, help }: Setting<unknown> = SETTINGS[name];
  const notes = [
    ...(secret === true ? ["**secret**"] : []),
    ...(hasFile(env) ? [`also in a file: \`${env}_FILE\``] : []),
    ...(doc === null ? [] : [`[more](${doc})`]),
  ];
  const meaning = [escapeCell(help), ...notes].join("; ");
  const setting = secret === true ? `\`${env}\`` : `\`${env}\`<br>\`${flagOf(name)}\``;
  // For any text, the placeholder of its flag says more: a folder, a key.
  const value = escapeCell(kind === text ? placeholder : kind.expected.replace(/^an? /, ""));
  return `| ${setting} | ${defaultText === undefined ? "" : `\`${defaultText}\``} | ${value} | ${meaning} |`;
}

/** Whether another setting names a file for the values of this one. */
function hasFile(env: string): boolean {
  return Object.values(SETTINGS).some((setting: Setting<unknown>) => setting.env === `${env}_FILE`);
}

/** A text within a table: neither a new cell nor emphasis. */
function escapeCell(cell: string): string {
  return cell.replace(/[|*_<]/g, (character) => `\\${character}`);
}

if (import.meta.main) writeFileSync(REFERENCE_PATH, settingsReference());
