import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { FixityError } from "../core/errors.ts";
import { flagOf } from "../server/config.ts";
import { type Setting, SETTINGS } from "../server/settings.ts";

/** Variables of the process's environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Runs the command that `argv` asks for. What the user got wrong is told in a line a mistake, with exit code 1. */
export async function runProgram(argv: readonly string[], env: Environment): Promise<void> {
  try {
    await makeProgram(env).parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof FixityError)) throw error;
    for (const line of error.message.split("\n")) process.stderr.write(`fixity: ${line}\n`);
    process.exitCode = 1;
  }
}

function makeProgram(env: Environment): Command {
  const program = new Command("fixity")
    .description("An upload service that gives every file a permanent, verified link.")
    .version(version())
    .helpCommand(true)
    .showHelpAfterError("(fixity --help says more)");
  const serve = program.command("serve").description("serve uploads over HTTP until stopped");
  for (const option of settingOptions()) serve.addOption(option);
  serve.addHelpText("after", secretsHelp());
  serve.action(async (flags: Record<string, string | undefined>) => {
    const { serveUntilStopped } = await import("./serve.ts");
    await serveUntilStopped({ flags, env });
  });
  return program;
}

function settingOptions(): Option[] {
  return (Object.entries(SETTINGS) as [string, Setting<unknown>][])
    .filter(([, { secret }]) => secret !== true)
    .map(([name, { env, fallback, value, help }]) => {
      const usual = fallback === undefined ? "" : `, default ${fallback}`;
      return new Option(`${flagOf(name)} <${value}>`, `${help} (${env}${usual})`);
    });
}

/** What a process list must not show has no flag. */
function secretsHelp(): string {
  const secrets = (Object.values(SETTINGS) as Setting<unknown>[]).filter(({ secret }) => secret === true);
  const width = Math.max(...secrets.map(({ env }) => env.length)) + 2;
  const lines = secrets.map(({ env, help }) => `  ${env.padEnd(width)}${help}`);
  return `\nOnly from the environment:\n${lines.join("\n")}\n\nFlags win over the environment.`;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
