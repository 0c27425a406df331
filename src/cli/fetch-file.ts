import { dirname } from "node:path";
import { type Client, FixityClientError } from "../client/node.ts";
import { standingAt } from "./destination.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { PartialFile } from "./partial-file.ts";
import type { RemoteLink } from "./remote.ts";

/** A download into a file. */
export interface FetchedFile {
  readonly client: Client;
  readonly remote: RemoteLink;
  /** Of the whole: bytes. */
  readonly size: number;
  readonly path: string;
  readonly replaces: boolean;
  readonly signal: AbortSignal;
  /** Called with the bytes that are there, again and again. */
  readonly onProgress: (bytes: number) => void;
}

/**
 * Fetches what is not there from an earlier run, and gives the file its name when all of it is verified. Where that fails, what
 * came stays for the next run beside where the file would be; bytes that are wrong do not.
 *
 * @returns bytes that came
 * @throws FixityClientError, also `digest-mismatch`; and system errors
 */
export async function fetchFile(job: FetchedFile): Promise<number> {
  const { remote, size, path } = job;
  await using partial = await PartialFile.open(dirname(path), remote.digest);
  if (partial.size > size) await partial.restart();
  for (;;) {
    const kept = partial.size;
    try {
      await fetchRest(job, partial);
      await publish(job, partial);
      return size - kept;
    } catch (error) {
      if (!isMismatch(error)) throw error;
      await partial.restart();
      // what an earlier run left may be what is wrong: it was not made durable
      if (kept === 0) throw error;
    }
  }
}

async function publish({ path, replaces, remote, size }: FetchedFile, partial: PartialFile): Promise<void> {
  try {
    await partial.publish(path, { replaces });
  } catch (error) {
    const isTaken = systemErrorCode(error) === "EEXIST";
    if (!isTaken || (await standingAt(path, { digest: remote.digest, size })) !== "same") throw error;
    // another run for the same link was first
    await partial.discard();
  }
}

/** Whether the bytes that came are not those of the link. */
export function isMismatch(error: unknown): boolean {
  return error instanceof FixityClientError && error.code === "digest-mismatch";
}

async function fetchRest({ client, remote, signal, onProgress }: FetchedFile, partial: PartialFile): Promise<void> {
  const have = partial.size > 0 ? partial.bytes() : undefined;
  const { stream } = await client.download(remote.url, { signal, have });
  for await (const bytes of stream) {
    await partial.append(bytes);
    onProgress(partial.size);
  }
}
