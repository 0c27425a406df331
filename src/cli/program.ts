import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { redacted } from "../base/redact.ts";
import { FixityError } from "../core/errors.ts";
import type { Environment } from "../settings/config.ts";
import { concurrency as concurrencyKind } from "../settings/kinds.ts";
import type { Shell } from "./completion.ts";
import { EXIT } from "./exit-codes.ts";
import {
  CLIENT_ENVIRONMENT_HELP,
  COMPLETION_HELP,
  GET_EXAMPLES,
  LOGIN_HELP,
  PERMIT_HELP,
  PUT_EXAMPLES,
  SIGN_HELP,
  STAT_EXAMPLES,
} from "./help-texts.ts";
import { print, watchOutput } from "./output.ts";
import { addMaintenance } from "./maintenance.ts";
import { addCommand, secretsHelp, serviceOption, settingOptions } from "./setting-options.ts";
import { npmHint, withUsageHint } from "./usage-hints.ts";

/*
 * The command line: every command with its arguments, flags and help. Each command is a module of
 * its own, which is loaded only when it runs.
 *
 *     serve                 runs the server                     flags and UPLOAD_… variables
 *     put, get, stat        clients of a service, over HTTP     FIXITY_URL, FIXITY_TOKEN
 *     login, logout         save a service and a token          $XDG_CONFIG_HOME/fixity
 *     sign, permit          sign with the keys of a server      UPLOAD_LINK_KEYS, UPLOAD_PERMIT_KEYS
 *     maintenance.ts        work on a store without a server    the settings of serve that
 *                                                               concern the store
 *
 * Results go to standard output (`output.ts`), everything else to standard error. Failures that the
 * user can fix are `FixityError`s; they are printed as one line each.
 */

const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

type Flags = Readonly<Record<string, string | undefined>>;

/**
 * Runs the command in `argv`. Mistakes of the user are printed one per line and set the exit code.
 */
export async function runProgram(argv: readonly string[], env: Environment): Promise<void> {
  // A server writes its log to standard output and handles failures of that itself.
  if (argv[2] !== "serve") watchOutput();
  const program = makeProgram(env);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = EXIT.failed;
    if (!(error instanceof FixityError)) return printUnexpected(error);
    for (const line of error.message.split("\n")) process.stderr.write(`fixity: ${line}\n`);
  }
}

/** A fault of fixity itself. Node would exit with 1, which has a meaning here. */
function printUnexpected(error: unknown): void {
  process.stderr.write("fixity: internal error, please report it with the following lines and the command:\n");
  process.stderr.write(`${redacted(inspect(error))}\n`);
}

export function makeProgram(env: Environment): Command {
  const program = new Command("fixity")
    .description("An upload service that gives every file a permanent, verified link.")
    .version(version(), "-V, --version", "print the version")
    .commandsGroup("Other:")
    .helpCommand("help [command]", "show the help of a command")
    .helpOption("-h, --help", "show this help")
    // Commands inherit these two. Commander exits with 1 after a mistake in the arguments, but 1 is
    // the answer to the question that a command asks ("some are missing").
    .configureOutput({ writeOut: print })
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.failed))
    .showHelpAfterError("See 'fixity --help'.");
  program.commandsGroup("Server:");
  addServe(program, env);
  program.commandsGroup("Files of a server:");
  addPut(program, env);
  addGet(program, env);
  addStat(program, env);
  addLogin(program, env);
  program.commandsGroup("Links and permits, with the keys of a server:");
  addSign(program, env);
  addPermit(program, env);
  program.commandsGroup("Maintenance of a store:");
  addMaintenance(program, env);
  program.commandsGroup("Other:");
  addCommand(program, "version", "print the version").action(() => print(`${version()}\n`));
  addCommand(program, "completion", "print a script that completes commands and flags in a shell")
    .addArgument(new Argument("<shell>", "your shell").choices(SHELLS))
    .addHelpText("after", COMPLETION_HELP)
    .action(async (shell: Shell) => {
      const { completionScript } = await import("./completion.ts");
      print(completionScript(shell, program));
    });
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ outputError: (text, write) => write(withUsageHint(text, command, env)) });
  }
  return program;
}

function addServe(program: Command, env: Environment): void {
  const serve = addCommand(program, "serve", "serve uploads over HTTP until stopped");
  for (const option of settingOptions(() => true)) serve.addOption(option);
  serve
    .addHelpText(
      "after",
      secretsHelp(() => true),
    )
    .action(async (flags: Flags) => {
      const hint = npmHint(env);
      if (hint !== null) throw new FixityError("invalid-option", hint);
      const { serveUntilStopped } = await import("./serve.ts");
      await serveUntilStopped({ flags, env });
    });
}

interface PutFlags {
  readonly to?: string;
  readonly recursive?: true;
  readonly name?: string;
  readonly concurrency?: number;
  readonly quiet?: true;
  readonly json?: true;
}

function addPut(program: Command, env: Environment): void {
  const concurrency = "number of parallel uploads (default 4; 16 for small files)";
  addCommand(program, "put", "upload files to a service, and print their links")
    .alias("upload")
    .argument("<file...>", "files to upload; - for standard input")
    .option("-r, --recursive", "upload the files in folders, too")
    .option("--name <name>", "name of standard input, or of the one file")
    .addOption(serviceOption("--to"))
    .addOption(new Option("--concurrency <count>", concurrency).argParser(parseConcurrency))
    .option("-q, --quiet", "print only links and errors")
    .option("--json", "print one JSON object per file")
    .addHelpText("after", PUT_EXAMPLES + CLIENT_ENVIRONMENT_HELP)
    .action(async (files: readonly string[], flags: PutFlags) => {
      const { putFiles } = await import("./put.ts");
      process.exitCode = await putFiles(
        { endpoint: flags.to, env },
        {
          files,
          isRecursive: flags.recursive === true,
          name: flags.name ?? null,
          concurrency: flags.concurrency ?? null,
          isQuiet: flags.quiet === true,
          isJson: flags.json === true,
        },
      );
    });
}

interface GetFlags {
  readonly from?: string;
  readonly output?: string;
  readonly force?: true;
  readonly quiet?: true;
  readonly json?: true;
}

function addGet(program: Command, env: Environment): void {
  addCommand(program, "get", "download a file by its link, and verify it")
    .argument("<link>", "a link, its path or last segment, or a digest")
    .option("-o, --output <file>", "where to store it: a file, a folder, or - for standard output")
    .option("-f, --force", "replace an existing file")
    .addOption(serviceOption("--from"))
    .option("-q, --quiet", "print only errors and the path of the file")
    .option("--json", "print one JSON object")
    .addHelpText("after", GET_EXAMPLES + CLIENT_ENVIRONMENT_HELP)
    .action(async (link: string, flags: GetFlags) => {
      const { getFile } = await import("./get.ts");
      process.exitCode = await getFile(
        { endpoint: flags.from, env },
        {
          link,
          output: flags.output ?? null,
          mayReplace: flags.force === true,
          isQuiet: flags.quiet === true,
          isJson: flags.json === true,
        },
      );
    });
}

function addStat(program: Command, env: Environment): void {
  addCommand(program, "stat", "check whether files exist, and show their size")
    .argument("<link...>", "links, their paths or last segments, or digests")
    .addOption(serviceOption("--from"))
    .option("--json", "print one JSON object per link")
    .addHelpText("after", STAT_EXAMPLES + CLIENT_ENVIRONMENT_HELP)
    .action(async (links: readonly string[], flags: { readonly from?: string; readonly json?: true }) => {
      const { statLinks } = await import("./stat.ts");
      process.exitCode = await statLinks({ endpoint: flags.from, env }, links, flags.json === true);
    });
}

function addLogin(program: Command, env: Environment): void {
  addCommand(program, "login", "save the address of a server and an access token, for the commands above")
    .argument("<url>", "address of the server")
    .addHelpText("after", LOGIN_HELP)
    .action(async (url: string) => {
      const { logIn } = await import("./login.ts");
      process.exitCode = await logIn(url, env);
    });
  addCommand(program, "logout", "remove a saved server and its token")
    .argument("[url]", "address of the server; default that of the latest login")
    .action(async (url?: string) => {
      const { logOut } = await import("./login.ts");
      process.exitCode = await logOut(url, env);
    });
}

interface SignFlags {
  readonly expires: string;
  readonly filename?: string;
  readonly download?: true;
  readonly view?: true;
  readonly url?: string;
  readonly keysFile?: string;
  readonly json?: true;
}

function addSign(program: Command, env: Environment): void {
  addCommand(program, "sign", "make a link that can be read until it expires")
    .argument("<link>", "a link, its path or last segment, or a digest")
    .requiredOption("--expires <time>", "how long it can be read, such as 1h or 7d")
    .option("--filename <name>", "name under which the file is saved")
    .option("--download", "browsers save the file instead of displaying it")
    .option("--view", "the link shows the page about the file")
    .addOption(serviceOption("--url"))
    .option("--keys-file <file>", "file of keys, one per line: the first one signs")
    .option("--json", "print one JSON object")
    .addHelpText("after", SIGN_HELP)
    .action(async (link: string, { url, ...flags }: SignFlags) => {
      const { signLink } = await import("./sign.ts");
      signLink({ endpoint: url, env }, { ...flags, link });
    });
}

interface PermitFlags {
  readonly expires: string;
  readonly maxSize?: string;
  readonly digest?: string;
  readonly types?: string;
  readonly name?: string;
  readonly once?: true;
  readonly url?: string;
  readonly keysFile?: string;
  readonly json?: true;
}

function addPermit(program: Command, env: Environment): void {
  addCommand(program, "permit", "make a permit: its bearer may upload until it expires")
    .requiredOption("--expires <time>", "how long it is valid, such as 1h or 7d; at most 366d")
    .option("--max-size <size>", "maximum size of a file")
    .option("--digest <digest>", "the only content that may be uploaded")
    .option("--types <list>", "types of files, separated by commas: image/*, application/pdf, .docx")
    .option("--name <name>", "name in the log; permits with one name continue each other's uploads")
    .option("--once", "for one upload only")
    .addOption(serviceOption("--url"))
    .option("--keys-file <file>", "file of keys, one per line: the first one signs")
    .option("--json", "print one JSON object")
    .addHelpText("after", PERMIT_HELP)
    .action(async ({ url, ...flags }: PermitFlags) => {
      const { makePermit } = await import("./permit.ts");
      makePermit({ endpoint: url, env }, flags);
    });
}

function parseConcurrency(text: string): number {
  const value = concurrencyKind.parse(text);
  if (value === null) throw new InvalidArgumentError(`It must be ${concurrencyKind.expected}.`);
  return value;
}

function version(): string {
  // the build of the package replaces this with the text
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
