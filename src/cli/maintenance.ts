import { Argument, type Command } from "commander";
import type { Environment } from "../settings/config.ts";
import {
  BLOCK_EXAMPLES,
  COPY_EXAMPLES,
  EVENTS_EXAMPLES,
  IMPORT_EXAMPLES,
  LS_EXAMPLES,
  RM_EXAMPLES,
  VERIFY_EXAMPLES,
} from "./help-texts.ts";
import { addStoreCommand } from "./setting-options.ts";

/*
 * The commands that work on a store without a server, with their arguments, flags and help. Each is
 * a module of its own, which is loaded only when it runs.
 */

type StoreFlags = { readonly json?: true } & Readonly<Record<string, string | undefined>>;

/** Adds the commands for the maintenance of a store. */
export function addMaintenance(program: Command, env: Environment): void {
  addLs(program, env);
  addRm(program, env);
  addCopy(program, env);
  addImport(program, env);
  addBlock(program, env);
  addEvents(program, env);
  addGc(program, env);
  addVerify(program, env);
  addStoreCommand(program, "doctor", "test what the store can do, and report what is wrong").action(
    async ({ json, ...flags }: StoreFlags) => {
      const { examineStore } = await import("./doctor.ts");
      process.exitCode = await examineStore({ flags, env }, json === true);
    },
  );
}

function addLs(program: Command, env: Environment): void {
  addStoreCommand(program, "ls", "list the stored files: digest, size and time")
    .option("--prefix <hex>", "only digests that begin with these hex digits")
    .option("--summary", "print only their number and their size")
    .addHelpText("after", LS_EXAMPLES)
    .action(async ({ json, summary, prefix, ...flags }: StoreFlags & { readonly summary?: true }) => {
      const { listBlobs } = await import("./ls.ts");
      process.exitCode = await listBlobs(
        { flags, env },
        { prefix, isSummary: summary === true, isJson: json === true },
      );
    });
}

function addRm(program: Command, env: Environment): void {
  addStoreCommand(program, "rm", "remove files, and every link to them")
    .argument("<digest...>", "digests or links of the files; - for a list on standard input")
    .option("-y, --yes", "do not ask for confirmation")
    .option("--from <url>", "let a running service remove them, instead of the store itself")
    .addHelpText("after", RM_EXAMPLES)
    .action(async (names: readonly string[], { json, yes, from, ...flags }: StoreFlags & { readonly yes?: true }) => {
      const { removeBlobs } = await import("./rm.ts");
      process.exitCode = await removeBlobs(
        { flags, env },
        { names, from, isConfirmed: yes === true, isJson: json === true },
      );
    });
}

/** Commander sets `documents` to false for `--no-documents`, and to true without it. */
type CopyFlags = StoreFlags & { readonly documents: never };

function addCopy(program: Command, env: Environment): void {
  addStoreCommand(program, "copy", "copy what another store or service does not have")
    .argument("<from>", "folder of a store, s3://bucket/prefix, or URL of a service")
    .argument("<to>", "the same; a missing folder is created")
    .argument("[digest...]", "digests or links of the files; default all files")
    .option("--digests <file>", "file with a digest or link per line; - for standard input")
    .option("--prefix <hex>", "only digests that begin with these hex digits")
    .option("--concurrency <count>", "number of files that are copied in parallel (default 8)")
    .option("--no-documents", "copy files only, not which are blocked and which permits have been used")
    .addHelpText("after", COPY_EXAMPLES)
    .action(async (from: string, to: string, names: readonly string[], { json, documents, ...flags }: CopyFlags) => {
      const { copyBlobs } = await import("./copy.ts");
      const { digests, prefix, concurrency } = flags;
      process.exitCode = await copyBlobs(
        { flags, env },
        { from, to, names, digests, prefix, concurrency, hasDocuments: documents, isJson: json === true },
      );
    });
}

function addBlock(program: Command, env: Environment): void {
  addStoreCommand(program, "block", "block files: they are neither read nor uploaded any more")
    .argument("[digest...]", "digests or links of the files; - for a list on standard input")
    .option("--reason <text>", "why they are blocked, for operators; clients do not see it")
    .option("--by <name>", "who blocks them (default the user)")
    .option("--list", "list what is blocked")
    .addHelpText("after", BLOCK_EXAMPLES)
    .action(async (names: readonly string[], flags: StoreFlags & { readonly list?: true }) => {
      const { json, list, reason, by, ...others } = flags;
      const { blockBlobs } = await import("./block.ts");
      process.exitCode = await blockBlobs(
        { flags: others, env },
        { names, reason, by, isList: list === true, isJson: json === true },
      );
    });
  addStoreCommand(program, "unblock", "end blocks of files")
    .argument("<digest...>", "digests or links of the files; - for a list on standard input")
    .action(async (names: readonly string[], { json, ...flags }: StoreFlags) => {
      const { unblockBlobs } = await import("./block.ts");
      process.exitCode = await unblockBlobs({ flags, env }, { names, isJson: json === true });
    });
}

function addImport(program: Command, env: Environment): void {
  addStoreCommand(program, "import", "store the files of a folder or bucket that others have filled")
    .argument("<place>", "a folder, or s3://bucket/prefix")
    .option("--concurrency <count>", "number of files that are read in parallel (default 4)")
    .option("--link", "link the files instead of copying them: nothing may write to them any more")
    .option("--tus", "import the finished uploads of tusd or @tus/server, by the names that clients gave them")
    .addHelpText("after", IMPORT_EXAMPLES)
    .action(async (from: string, flagged: StoreFlags & { readonly link?: true; readonly tus?: true }) => {
      const { json, concurrency, link, tus, ...flags } = flagged;
      const { importFiles } = await import("./import.ts");
      process.exitCode = await importFiles(
        { flags, env },
        { from, concurrency, isLink: link === true, isTus: tus === true, isJson: json === true },
      );
    });
}

type EventAction = "ls" | "retry" | "rm";

function addEvents(program: Command, env: Environment): void {
  addStoreCommand(program, "events", "list events that wait, and retry or remove those that were given up")
    .addArgument(new Argument("<action>", "what to do").choices(["ls", "retry", "rm"]))
    .argument("[id...]", "ids of dead letters")
    .option("--all", "all dead letters")
    .addHelpText("after", EVENTS_EXAMPLES)
    .action(async (action: EventAction, ids: readonly string[], flags: StoreFlags & { readonly all?: true }) => {
      const { json, all, ...others } = flags;
      const { manageEvents } = await import("./events.ts");
      const request = { action, ids, isAll: all === true, isJson: json === true };
      process.exitCode = await manageEvents({ flags: others, env }, request);
    });
}

function addGc(program: Command, env: Environment): void {
  addStoreCommand(program, "gc", "remove unfinished uploads that cannot be resumed")
    .option("--damaged", "also remove the damaged files that uploads have replaced")
    .action(async ({ json, damaged, ...flags }: StoreFlags & { readonly damaged?: true }) => {
      const { collectGarbage } = await import("./gc.ts");
      const options = { removesDamaged: damaged === true, isJson: json === true };
      process.exitCode = await collectGarbage({ flags, env }, options);
    });
}

/** Commander sets `mark` to false for `--no-mark`, and to true without it. */
type VerifyFlags = StoreFlags & { readonly mark: never };

function addVerify(program: Command, env: Environment): void {
  addStoreCommand(program, "verify", "read stored files again, and mark those that have changed")
    .argument("[digest...]", "digests or links of the files; default all files")
    .option("--no-mark", "only report damaged files; servers keep sending them")
    .option("--rate <size>", "bytes that are read per second, of all files together; 0 for no limit (default 0)")
    .option("--concurrency <count>", "number of files that are read in parallel (default 4)")
    .option("--older-than <duration>", "skip what was read completely since then; resumes a run that was stopped")
    .option(
      "--repair-from <place>",
      "fetch the right bytes of damaged files from a folder, a service's URL or s3://bucket",
    )
    .addHelpText("after", VERIFY_EXAMPLES)
    .action(async (names: readonly string[], { json, mark, ...flags }: VerifyFlags) => {
      const { verifyBlobs } = await import("./verify.ts");
      const { rate, concurrency, olderThan, repairFrom } = flags;
      process.exitCode = await verifyBlobs(
        { flags, env },
        { names, isJson: json === true, marks: mark, rate, concurrency, olderThan, repairFrom },
      );
    });
}
