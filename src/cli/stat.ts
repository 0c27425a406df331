import { type BlobInfo, createClient } from "../client/node.ts";
import type { Digest } from "../core/digest.ts";
import { printable } from "../base/printable.ts";
import { formatSize } from "../base/format-size.ts";
import { EXIT } from "./exit-codes.ts";
import { inOrder } from "./in-order.ts";
import { Interruption } from "./interruption.ts";
import { type Trouble, troubleOf } from "./remote-trouble.ts";
import { type RemoteLink, remoteLink, type RemoteSources } from "./remote.ts";
import { paint, printJson } from "./text.ts";
import { print } from "./output.ts";

/** Links that are asked for at a time. */
const ASKERS = 8;

/** What `fixity stat` is asked for. */
export interface StatRequest {
  readonly links: readonly string[];
  readonly isJson: boolean;
}

/**
 * `fixity stat`: tells of each link whether a file is stored there, and how large it is.
 *
 * @returns the exit code
 * @throws FixityError `invalid-link` or `invalid-option`, before anything is asked
 */
export async function statLinks(sources: RemoteSources, { links, isJson }: StatRequest): Promise<number> {
  const asked = links.map((given) => ({ given, ...remoteLink(given, sources) }));
  using interruption = new Interruption();
  const tell = isJson ? tellProgram : tellPerson;
  let isMissing = false;
  let isUnknown = false;
  await inOrder(asked, {
    atOnce: ASKERS,
    work: async (link) => ({ ...link, answer: await ask(link, interruption.signal) }),
    take: (asked) => {
      isMissing ||= asked.answer === null;
      isUnknown ||= asked.answer !== null && "reason" in asked.answer;
      if (!interruption.signal.aborted) tell(asked);
    },
    signal: interruption.signal,
  });
  if (interruption.exitCode !== null) return interruption.exitCode;
  if (isUnknown) return EXIT.failed;
  return isMissing ? EXIT.notOk : EXIT.ok;
}

/** What is stored there; `null` where nothing is. */
async function ask(link: RemoteLink, signal: AbortSignal): Promise<BlobInfo | Trouble | null> {
  const { endpoint, headers, url } = link;
  const client = createClient({ endpoint, headers, storage: null, retry: { attempts: 0 } });
  try {
    return await client.stat(url, { signal });
  } catch (error) {
    const trouble = troubleOf(error, link);
    if (trouble === null) throw error;
    return trouble;
  } finally {
    client.close();
  }
}

interface Asked {
  /** As the user wrote it. */
  readonly given: string;
  readonly digest: Digest;
  readonly answer: BlobInfo | Trouble | null;
}

function tellPerson({ given, digest, answer }: Asked): void {
  if (answer === null) print(`${paint("red", "missing")}  ${String(digest)}\n`);
  else if ("reason" in answer) process.stderr.write(`fixity: ${printable(`${given}: ${answer.reason}`)}\n`);
  else print(`stored   ${answer.digest}  ${formatSize(answer.size)}, ${printable(answer.type)}\n`);
}

function tellProgram({ given, digest, answer }: Asked): void {
  if (answer === null) return printJson({ status: "missing", link: given, digest });
  if ("reason" in answer) return printJson({ status: "failed", link: given, code: answer.code, reason: answer.reason });
  const { url, size, type, integrity } = answer;
  printJson({ status: "stored", link: given, url, digest, size, type, integrity });
}
