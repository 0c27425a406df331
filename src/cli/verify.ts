import { formatSize } from "../base/format-size.ts";
import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import { Link } from "../core/link.ts";
import { EXIT } from "./exit-codes.ts";
import { paint, print, printJson } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { assertStoreExists, type OpenedStore, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/** The number of blobs that are read concurrently. */
const READ_CONCURRENCY = 4;

const BAD_STATUSES = ["damaged", "missing", "unreadable"] as const;

export interface VerifyRequest {
  /** Digests or links of the blobs to verify; none means all blobs. */
  readonly names: readonly string[];
  readonly isJson: boolean;
}

/** The result for one blob. */
interface VerifiedBlob {
  /** `unreadable`: the store could not read it, so its state is unknown. */
  readonly status: "intact" | "damaged" | "missing" | "unreadable";
  /** `null` for something that is not a folder where a folder of blobs belongs. */
  readonly digest: Digest | null;
  /** The path, below the store's folder, of something that is not a file where a blob belongs. */
  readonly path?: string;
  /** Bytes read. */
  readonly size?: number;
  readonly reason?: string;
}

/** `fixity verify`: reads blobs again, and reports those whose bytes do not match their digest. */
export async function verifyBlobs(sources: StoreCommandSources, { names, isJson }: VerifyRequest): Promise<number> {
  const named = names.map(parseName);
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    const tally = new Tally();
    using progress = new ProgressLine();
    progress.show(() => tally.progress());
    const report = (blob: VerifiedBlob) => {
      tally.add(blob);
      if (isJson) return printJson(blob);
      if (blob.status === "intact") return;
      progress.clear();
      print(`${formatBlob(blob)}\n`);
    };
    let isComplete = false;
    try {
      await verifyAll(opened, named, report);
      if (named.length === 0) await reportMisplaced(opened, report);
      isComplete = true;
    } finally {
      progress.clear();
      if (isJson) printJson({ status: isComplete ? "done" : "stopped", ...tally.counts });
      else print(`${tally.summary(isComplete)}\n`);
    }
    return tally.isGood ? EXIT.ok : EXIT.notOk;
  });
}

/**
 * The digest in a name for a blob: its digest, its link, or the URL of its link.
 *
 * @throws FixityError `invalid-digest`
 */
function parseName(name: string): Digest {
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

async function verifyAll(
  opened: OpenedStore,
  named: readonly Digest[],
  report: (blob: VerifiedBlob) => void,
): Promise<void> {
  const fixity = createFixity({ store: opened.store });
  const digests = named.length > 0 ? named.values() : storedDigests(fixity, opened.signal);
  await forEachConcurrent(digests, READ_CONCURRENCY, async (digest) => {
    const blob = await verifyBlob(opened, fixity, digest);
    // A blob that was removed since it was listed is not missing.
    if (named.length === 0 && blob.status === "missing") return;
    report(blob);
  });
}

async function* storedDigests(fixity: Fixity, signal: AbortSignal): AsyncGenerator<Digest, undefined, undefined> {
  for await (const { digest } of fixity.list(signal)) yield digest;
}

async function verifyBlob({ store, signal }: OpenedStore, fixity: Fixity, digest: Digest): Promise<VerifiedBlob> {
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
    // A disk may fail for a single file. A bucket that cannot be reached would fail for all of
    // them, so the command ends.
    if (store.kind === "s3") await store.check(signal);
    return { status: "unreadable", digest, reason: error.message };
  }
}

/** Reports paths of blobs that something else occupies: they are not listed, but the blobs are lost. */
async function reportMisplaced({ store, signal }: OpenedStore, report: (blob: VerifiedBlob) => void): Promise<void> {
  for await (const { digest, path } of store.misplaced?.(signal) ?? []) {
    const reason = digest === null ? "it is not a folder" : `${path} is not a regular file`;
    report({ status: "unreadable", digest, path, reason });
  }
}

function formatBlob({ status, digest, path, size, reason }: VerifiedBlob): string {
  const facts = [size === undefined ? "" : formatSize(size), reason ?? ""].filter((fact) => fact !== "");
  const line = `${paint("red", status.padEnd(10))}  ${String(digest ?? path)}`;
  return facts.length === 0 ? line : `${line}  ${facts.join(", ")}`;
}

/** Counts the results of a run. */
class Tally {
  readonly #counts = { intact: 0, damaged: 0, missing: 0, unreadable: 0 };
  readonly #startedAt = performance.now();
  #bytes = 0;

  add({ status, size = 0 }: VerifiedBlob): void {
    this.#counts[status] += 1;
    this.#bytes += size;
  }

  /** The number of blobs per status, and of bytes read. */
  get counts(): Readonly<Record<VerifiedBlob["status"] | "bytes", number>> {
    return { ...this.#counts, bytes: this.#bytes };
  }

  get isGood(): boolean {
    return BAD_STATUSES.every((status) => this.#counts[status] === 0);
  }

  /** The progress so far, in one line. */
  progress(): string {
    const seconds = Math.max(0.001, (performance.now() - this.#startedAt) / 1000);
    const bad = this.isGood ? "" : `, ${this.#bad()}`;
    return `${this.#blobs()} verified, ${formatSize(this.#bytes)}, ${formatSize(this.#bytes / seconds)}/s${bad}`;
  }

  /** @param isComplete whether everything was read */
  summary(isComplete: boolean): string {
    if (this.#total === 0) return isComplete ? "no blobs are stored" : "stopped before the first blob was read";
    const verdict = this.isGood ? "all intact" : this.#bad();
    return `${isComplete ? "" : "stopped early: "}${this.#blobs()} verified, ${formatSize(this.#bytes)}: ${verdict}`;
  }

  get #total(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  #blobs(): string {
    return counted(this.#total, "blob");
  }

  #bad(): string {
    const bad = BAD_STATUSES.filter((status) => this.#counts[status] > 0);
    return bad.map((status) => `${this.#counts[status].toLocaleString("en")} ${status}`).join(", ");
  }
}
