import { forEachConcurrent } from "../base/map-concurrent.ts";
import { printable } from "../base/printable.ts";
import type { Block } from "../core/blocks.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import { userName } from "../settings/store-failure.ts";
import { parseBlobNames } from "./blob-names.ts";
import { EXIT } from "./exit-codes.ts";
import { print, printJson } from "./output.ts";
import { assertStoreExists, type StoreCommandSources, withStore } from "./store-command.ts";

/** Blocks that are written or removed at the same time. */
const CONCURRENCY = 8;

/** What the user asks for; the flags are texts. */
export interface BlockRequest {
  /** Digests or links; `-` for those on standard input. */
  readonly names: readonly string[];
  readonly reason: string | undefined;
  /** Who blocks them. @default the user of the process */
  readonly by: string | undefined;
  /** Lists the blocks instead. */
  readonly isList: boolean;
  readonly isJson: boolean;
}

/**
 * `fixity block`: blocks digests, or lists the blocks. Running servers follow within ten seconds.
 *
 * @throws FixityError `invalid-digest` or `invalid-option` before anything is blocked, or a
 *   `store-…` code
 */
export async function blockBlobs(sources: StoreCommandSources, request: BlockRequest): Promise<number> {
  const { names, reason, by = userName(), isList, isJson } = request;
  if (isList) {
    if (names.length > 0 || reason !== undefined)
      throw invalid("--list lists all blocks: leave out names and --reason.");
    return await withService(sources, async (fixity, signal) => {
      for (const block of await fixity.blocks(signal)) {
        if (isJson) printJson(block);
        else print(lineOf(block));
      }
    });
  }
  if (names.length === 0) throw invalid("Name the files to block by their digests or links; - reads standard input.");
  const digests = await parseBlobNames(names);
  if (reason === undefined) throw invalid("State why: --reason TEXT. Only operators see it.");
  return await withService(sources, async (fixity, signal) => {
    const block = async (digest: Digest): Promise<void> => {
      const made = await fixity.block(digest, { reason, by });
      if (isJson) printJson({ status: "blocked", ...made });
      else print(`blocked    ${digest.toString()}\n`);
    };
    await forEachConcurrent(digests, CONCURRENCY, block, signal);
  });
}

/** `fixity unblock`: ends blocks. It is no failure if there are none. @throws as {@link blockBlobs} does */
export async function unblockBlobs(
  sources: StoreCommandSources,
  { names, isJson }: Pick<BlockRequest, "names" | "isJson">,
): Promise<number> {
  const digests = await parseBlobNames(names);
  return await withService(sources, async (fixity, signal) => {
    const unblock = async (digest: Digest): Promise<void> => {
      const status = (await fixity.unblock(digest)) ? "unblocked" : "not blocked";
      if (isJson) printJson({ status: status.replace(" ", "-"), digest });
      else print(`${status}  ${digest.toString()}\n`);
    };
    await forEachConcurrent(digests, CONCURRENCY, unblock, signal);
  });
}

/** Calls `work` with a service over the store, which must exist. */
function withService(
  sources: StoreCommandSources,
  work: (fixity: Fixity, signal: AbortSignal) => Promise<void>,
): Promise<number> {
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    await using fixity = createFixity({ store: opened.store, log: opened.warn });
    await work(fixity, opened.signal);
    return EXIT.ok;
  });
}

function lineOf({ digest, time, by, reason }: Block): string {
  const since = time === null ? "" : `  ${time.toISOString().slice(0, 16).replace("T", " ")}`;
  return (
    `${digest.toString()}${since}${by === null ? "" : `  by ${printable(by)}`}  ${printable(reason ?? "")}`.trimEnd() +
    "\n"
  );
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
