import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { FixityError } from "../core/errors.ts";
import { flagOf } from "../settings/config.ts";
import { type Setting, SETTINGS } from "../settings/settings.ts";
import { addClientCommands } from "./client-commands.ts";
import { EXIT } from "./exit-codes.ts";
import { print, watchOutput } from "./output.ts";
import { type Environment, isKeepingSetting, isStoreSetting } from "./store-settings.ts";

/** Runs the command that `argv` asks for. What the user got wrong is told in a line a mistake, and by the exit code. */
export async function runProgram(argv: readonly string[], env: Environment): Promise<void> {
  // a server has a log of its own on standard output
  if (argv[2] !== "serve") watchOutput();
  const program = makeProgram(env);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof FixityError)) throw error;
    for (const line of error.message.split("\n")) process.stderr.write(`fixity: ${line}\n`);
    process.exitCode = program.args[0] === "serve" ? EXIT.unwell : EXIT.undone;
  }
}

type Flags = Readonly<Record<string, string | undefined>>;

function makeProgram(env: Environment): Command {
  const program = new Command("fixity")
    .description("An upload service that gives every file a permanent, verified link.")
    .version(version())
    .helpCommand(true)
    // subcommands inherit it
    .configureOutput({ writeOut: print })
    .showHelpAfterError("(fixity --help says more)");
  addServe(program, env);
  addClientCommands(program, env);
  addStoreCommand(program, "gc", {
    does: "remove unfinished uploads that nobody can finish",
    isChosen: isKeepingSetting,
  }).action(async ({ json, ...flags }: StoreFlags) => {
    const { collectGarbage } = await import("./gc.ts");
    process.exitCode = await collectGarbage({ flags, env }, json === true);
  });
  addStoreCommand(program, "verify", { does: "read stored files again, and tell of those that have changed" })
    .argument("[digest...]", "digests or links of the files; all where none is named")
    .action(async (names: readonly string[], { json, ...flags }: StoreFlags) => {
      const { verifyBlobs } = await import("./verify.ts");
      process.exitCode = await verifyBlobs({ flags, env }, { names, isForPrograms: json === true });
    });
  addStoreCommand(program, "doctor", { does: "try out the store, and tell what it can do and what is wrong" }).action(
    async ({ json, ...flags }: StoreFlags) => {
      const { examineStore } = await import("./doctor.ts");
      process.exitCode = await examineStore({ flags, env }, json === true);
    },
  );
  return program;
}

function addServe(program: Command, env: Environment): void {
  const serve = program.command("serve").description("serve uploads over HTTP until stopped");
  for (const option of settingOptions(() => true)) serve.addOption(option);
  serve.addHelpText(
    "after",
    secretsHelp(() => true),
  );
  serve.action(async (flags: Flags) => {
    const { serveUntilStopped } = await import("./serve.ts");
    await serveUntilStopped({ flags, env });
  });
}

type StoreFlags = { readonly json?: true } & Flags;

type Chosen = (name: string) => boolean;

interface StoreCommand {
  readonly does: string;
  /** Settings that it takes as flags. */
  readonly isChosen?: Chosen;
}

/** A command over the store that `serve` would use, set up in the same way. */
function addStoreCommand(program: Command, name: string, { does, isChosen = isStoreSetting }: StoreCommand): Command {
  const command = program.command(name).description(does);
  command.option("--json", "for programs: JSON, a line each");
  for (const option of settingOptions(isChosen)) command.addOption(option);
  command.addHelpText("after", secretsHelp(isChosen));
  // a script that asks whether files are damaged must not take its own mistake for a yes
  return command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.undone));
}

function settingOptions(isChosen: Chosen): Option[] {
  return (Object.entries(SETTINGS) as [string, Setting<unknown>][])
    .filter(([name, { secret }]) => secret !== true && isChosen(name))
    .map(([name, { env, fallback, value, help }]) => {
      const usual = fallback === undefined ? "" : `, default ${fallback}`;
      return new Option(`${flagOf(name)} <${value}>`, `${help} (${env}${usual})`);
    });
}

/** What a process list must not show has no flag. */
function secretsHelp(isChosen: Chosen): string {
  const secrets = (Object.entries(SETTINGS) as [string, Setting<unknown>][])
    .filter(([name, { secret }]) => secret === true && isChosen(name))
    .map(([, setting]) => setting);
  const width = Math.max(...secrets.map(({ env }) => env.length)) + 2;
  const lines = secrets.map(({ env, help }) => `  ${env.padEnd(width)}${help}`);
  return `\nOnly from the environment:\n${lines.join("\n")}\n\nFlags win over the environment.`;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
