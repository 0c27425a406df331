import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import { Link } from "../core/link.ts";
import { formatSize } from "../base/format-size.ts";
import { EXIT } from "./exit-codes.ts";
import { Progress } from "./progress.ts";
import { assertStoreExists, type OpenedStore, type StoreCommandSources, withStore } from "./store-command.ts";
import { paint, printJson } from "./text.ts";
import { type Examined, Tally } from "./tally.ts";
import { print } from "./output.ts";

/** Blobs that are read at once. */
const READERS = 4;

/** What `fixity verify` is asked for. */
export interface VerifyRequest {
  /** Digests or links of the blobs to verify; none means all. */
  readonly names: readonly string[];
  readonly isJson: boolean;
}

/** `fixity verify`: reads blobs again, and tells of those that are not what their digests say. */
export async function verifyBlobs(sources: StoreCommandSources, { names, isJson }: VerifyRequest): Promise<number> {
  const named = names.map(digestOf);
  return withStore(sources, async (work) => {
    await assertStoreExists(work);
    const tally = new Tally();
    using progress = new Progress();
    progress.show(() => tally.progress());
    const tell = (examined: Examined) => {
      tally.add(examined);
      if (isJson) return printJson(examined);
      if (examined.status === "intact") return;
      progress.clear();
      print(`${lineOf(examined)}\n`);
    };
    let isWhole = false;
    try {
      await examineAll(work, named, { tally, tell });
      if (named.length === 0) await tellMisplaced(work, tell);
      isWhole = true;
    } finally {
      progress.clear();
      if (isJson) printJson({ status: isWhole ? "done" : "stopped", ...tally.counts });
      else print(`${tally.summary(isWhole)}\n`);
    }
    return tally.isWell ? EXIT.ok : EXIT.notOk;
  });
}

/**
 * The digest of a blob that a user names, by its digest, its link or the URL of that.
 *
 * @throws FixityError `invalid-digest`
 */
function digestOf(name: string): Digest {
  const segment = name
    .replace(/[?#].*$/, "")
    .replace(/^.*\//, "")
    .replace(/^sha256:/, "");
  try {
    return Link.parse(segment).digest;
  } catch (cause) {
    const message = `${JSON.stringify(name)} is neither a digest (sha256:<64 lower-case hex digits>) nor a link.`;
    throw new FixityError("invalid-digest", message, { cause });
  }
}

interface Told {
  readonly tally: Tally;
  readonly tell: (examined: Examined) => void;
}

async function examineAll(work: OpenedStore, named: readonly Digest[], { tally, tell }: Told): Promise<void> {
  const fixity = createFixity({ store: work.store });
  const digests = named.length > 0 ? named.values() : digestsIn(fixity, work.signal);
  tally.begin();
  await forEachConcurrent(digests, READERS, async (digest) => {
    const examined = await examine(work, fixity, digest);
    // A blob that was removed since it was listed is not missing.
    if (named.length === 0 && examined.status === "missing") return;
    tell(examined);
  });
}

/** Blobs whose place something else occupies are not listed, but a store that has lost them is not well. */
async function tellMisplaced({ store, signal }: OpenedStore, tell: Told["tell"]): Promise<void> {
  for await (const { digest, path } of store.misplaced?.(signal) ?? []) {
    const reason = digest === null ? "it is not a folder" : `${path} is not a regular file`;
    tell({ status: "unreadable", digest, path, reason });
  }
}

async function* digestsIn(fixity: Fixity, signal: AbortSignal): AsyncGenerator<Digest, undefined, undefined> {
  for await (const { digest } of fixity.list(signal)) yield digest;
}

async function examine({ store, signal }: OpenedStore, fixity: Fixity, digest: Digest): Promise<Examined> {
  try {
    const verification = await fixity.verify(digest, signal);
    if (verification === null) return { status: "missing", digest };
    const { size } = verification;
    if (verification.intact) return { status: "intact", digest, size };
    return { status: "damaged", digest, size, reason: `its bytes are those of ${String(verification.found)}` };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof FixityError)) throw error;
    if (error.code === "blob-damaged") return { status: "damaged", digest, reason: error.message };
    // Is it this blob, or is the bucket out of reach? A disk may well fail for one file and not for the next.
    if (store.kind === "s3") await store.check(signal);
    return { status: "unreadable", digest, reason: error.message };
  }
}

function lineOf(examined: Examined): string {
  const { status, digest, path, size, reason } = examined;
  const facts = [size === undefined ? "" : formatSize(size), reason ?? ""].filter((fact) => fact !== "");
  const line = `${paint("red", status.padEnd(10))}  ${String(digest ?? path)}`;
  return facts.length === 0 ? line : `${line}  ${facts.join(", ")}`;
}
