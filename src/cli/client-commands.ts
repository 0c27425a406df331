import { type Command, InvalidArgumentError, Option } from "commander";
import { count } from "../settings/kinds.ts";
import { EXIT } from "./exit-codes.ts";
import { USUAL_ENDPOINT } from "./remote.ts";
import type { Environment } from "./store-settings.ts";

const ENVIRONMENT_HELP = `

From the environment:
  FIXITY_URL    where the service is, for all of these commands
  FIXITY_TOKEN  the token, where the service asks for one; it has no flag, for others read those`;

const PUT_EXAMPLES = `
Examples:
  fixity put photo.png                          its link on standard output
  fixity put -r photos > links.txt              a folder; what happens is told on standard error
  tar c photos | fixity put - --name photos.tar
  fixity put --json *.iso | jq -r .digest       a JSON object a file
  fixity put -- -odd-name.txt                   behind -- all are names

Stopped by Ctrl-C or a failure? The same command again goes on where it was.
Exit codes: 0 all is stored, 1 some files are not, 2 it could not be done, 130 stopped.`;

const GET_EXAMPLES = `
Examples:
  fixity get https://files.example.com/uploads/08c0811b91df….png
  fixity get 08c0811b91df….tar -o - | tar x     unverified until its end: heed the exit code
  fixity get 08c0811b91df….png -o photos/       a name of its own in that folder

The bytes are compared with the digest in the link before they get their name.
Stopped? The same command again goes on where it was.
Exit codes: 0 it is there and right, 1 there is no such file or its bytes are wrong, 2 it could not be done, 130 stopped.`;

const STAT_EXAMPLES = `
Examples:
  fixity stat https://files.example.com/uploads/08c0811b91df….png
  sha256sum < photo.png | cut -c-64 | xargs fixity stat      is it stored?

Exit codes: 0 all are there, 1 some are not, 2 it could not be found out.`;

/** The commands that work with a service, wherever it runs: `put`, `get` and `stat`. */
export function addClientCommands(program: Command, env: Environment): void {
  addPut(program, env);
  addGet(program, env);
  addStat(program, env);
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
  addClientCommand(program, "put", "send files to a service, and print their links")
    .argument("<file...>", "what to send; - for standard input")
    .option("-r, --recursive", "send the files of folders, too")
    .option("--name <name>", "what standard input, or the one file, is called")
    .addOption(serviceOption("--to"))
    .addOption(
      new Option("--concurrency <count>", "files on their way at a time (default 4, of small ones 16)").argParser(
        parseCount,
      ),
    )
    .option("-q, --quiet", "only links and failures")
    .option("--json", "for programs: a JSON object a file")
    .addHelpText("after", PUT_EXAMPLES + ENVIRONMENT_HELP)
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
          isForPrograms: flags.json === true,
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
  addClientCommand(program, "get", "fetch a file by its link, and verify it")
    .argument("<link>", "a link, its path or last segment, or a digest")
    .option("-o, --output <file>", "where to put it: a file, a folder, or - for standard output")
    .option("-f, --force", "replace a file of that name")
    .addOption(serviceOption("--from"))
    .option("-q, --quiet", "only failures")
    .option("--json", "for programs: a JSON object")
    .addHelpText("after", GET_EXAMPLES + ENVIRONMENT_HELP)
    .action(async (link: string, flags: GetFlags) => {
      const { getFile } = await import("./get.ts");
      process.exitCode = await getFile(
        { endpoint: flags.from, env },
        {
          link,
          output: flags.output ?? null,
          replaces: flags.force === true,
          isQuiet: flags.quiet === true,
          isForPrograms: flags.json === true,
        },
      );
    });
}

function addStat(program: Command, env: Environment): void {
  addClientCommand(program, "stat", "tell whether files are stored, and how large they are")
    .argument("<link...>", "links, their paths or last segments, or digests")
    .addOption(serviceOption("--from"))
    .option("--json", "for programs: a JSON object a link")
    .addHelpText("after", STAT_EXAMPLES + ENVIRONMENT_HELP)
    .action(async (links: readonly string[], flags: { readonly from?: string; readonly json?: true }) => {
      const { statLinks } = await import("./stat.ts");
      process.exitCode = await statLinks({ endpoint: flags.from, env }, { links, isForPrograms: flags.json === true });
    });
}

function addClientCommand(program: Command, name: string, does: string): Command {
  // 1 is for files that were not stored, or are not there: a mistake in the arguments must not be taken for that
  return program
    .command(name)
    .description(does)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.undone));
}

function serviceOption(flag: string): Option {
  return new Option(`${flag} <url>`, `the service (FIXITY_URL, default ${USUAL_ENDPOINT})`);
}

function parseCount(text: string): number {
  const value = count.parse(text);
  if (value === null || value > 256) throw new InvalidArgumentError("It must be a whole number from 1 to 256.");
  return value;
}
