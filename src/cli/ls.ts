import { formatExactSize } from "../base/format-size.ts";
import type { BlobStat } from "../core/blob-stat.ts";
import type { BlobStore } from "../core/store.ts";
import { parsePrefix, prefixesOf } from "./blob-names.ts";
import { EXIT } from "./exit-codes.ts";
import { letReaderLeave, outputExitCode, print, printJson } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { assertStoreExists, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/** Lines that are written together: a system call for each would take half of the time. */
const LINES_PER_WRITE = 256;

/** The columns of a size: enough for a petabyte, so that the columns stay where they are. */
const SIZE_COLUMNS = 16;

/** What the user asks for. */
export interface ListRequest {
  /** The beginning of the digests, in hex; the flag is a text. */
  readonly prefix: string | undefined;
  readonly isSummary: boolean;
  readonly isJson: boolean;
}

/**
 * `fixity ls`: lists the blobs of a store as they are found, in constant memory.
 *
 * @throws FixityError `invalid-option` for a prefix that is none, or a `store-…` code
 */
export async function listBlobs(sources: StoreCommandSources, request: ListRequest): Promise<number> {
  const prefix = parsePrefix(request.prefix ?? "");
  letReaderLeave();
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    const total = { blobs: 0, bytes: 0 };
    using progress = new ProgressLine();
    if (request.isSummary || !process.stdout.isTTY) {
      progress.show(() => `${counted(total.blobs, "blob")}, ${formatExactSize(total.bytes)}`);
    }
    const linesPerWrite = process.stdout.isTTY ? 1 : LINES_PER_WRITE;
    let lines: string[] = [];
    const flush = (): void => {
      if (lines.length > 0) print(lines.join(""));
      lines = [];
    };
    let isComplete = false;
    try {
      for await (const blob of blobsWith(opened.store, prefix, opened.signal)) {
        total.blobs += 1;
        total.bytes += blob.size;
        if (request.isSummary) continue;
        if (lines.push(lineOf(blob, request.isJson)) >= linesPerWrite) flush();
      }
      isComplete = true;
    } finally {
      flush();
      progress.clear();
      if (request.isJson) printJson({ status: isComplete ? "done" : "stopped", ...total });
      else if (request.isSummary) print(summaryOf(total, isComplete));
    }
    return outputExitCode() ?? EXIT.ok;
  });
}

/** The blobs whose digest begins with `prefix`. */
async function* blobsWith(store: BlobStore, prefix: string, signal: AbortSignal): AsyncGenerator<BlobStat> {
  const isWhole = prefix === "" || store.listPrefix === undefined;
  const listings = isWhole
    ? [store.list(signal)]
    : prefixesOf(prefix).map((listed) => store.listPrefix?.(listed, signal) ?? []);
  for (const listing of listings) {
    for await (const blob of listing) if (blob.digest.hex.startsWith(prefix)) yield blob;
  }
}

function lineOf({ digest, size, modified }: BlobStat, isJson: boolean): string {
  if (isJson) return `${JSON.stringify({ status: "stored", digest, size, modified })}\n`;
  return `${digest.toString()}  ${String(size).padStart(SIZE_COLUMNS)}  ${modified.toISOString()}\n`;
}

function summaryOf({ blobs, bytes }: { readonly blobs: number; readonly bytes: number }, isComplete: boolean): string {
  return `${isComplete ? "" : "stopped early: "}${counted(blobs, "blob")}, ${formatExactSize(bytes)}\n`;
}
