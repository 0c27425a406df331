import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { BlobStat } from "../core/blob-stat.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import type { BlobStore } from "../core/store.ts";
import { readFlag } from "../settings/config.ts";
import * as kinds from "../settings/kinds.ts";
import { digestsInFile, parseBlobName, parsePrefix, prefixesOf } from "./blob-names.ts";
import { CopyTally, type CopiedBlob, formatCopied } from "./copy-report.ts";
import { SourceBytes } from "./copy-source.ts";
import { EXIT } from "./exit-codes.ts";
import { Interruption } from "./interruption.ts";
import { print, printJson, printProblem } from "./output.ts";
import { openPlace, type Place } from "./places.ts";
import { isUnicodeTerminal, ProgressLine } from "./progress.ts";
import { explainFailure } from "./remote-failure.ts";
import type { Remote } from "./remote.ts";
import { sendBlob } from "./service-requests.ts";
import type { StoreCommandSources } from "./store-command.ts";

/*
 * `fixity copy`: the blobs of one place that another does not have. A run that was stopped is
 * continued by the next one, because only what is missing is copied: of two stores the listings are
 * compared, one prefix of two hex digits after the other; a service is asked for each blob, by a
 * request that names the digest and waits before it sends the content.
 */

/** Blobs that are copied at the same time. */
const DEFAULT_CONCURRENCY = 8;

/** Attempts to read a blob whose bytes differ from its digest: the first may have been a fault on the way. */
const READ_ATTEMPTS = 2;

/**
 * Documents that belong to a copy of a store: which permits have been used, and which blobs are
 * blocked. Others say something about one store's own copies (marks of damage, passes of `verify`).
 */
const COPIED_DOCUMENTS = ["permits/", "marks/blocked-"] as const;

/** What the user asks for; the flags are texts. */
export interface CopyRequest {
  readonly from: string;
  readonly to: string;
  /** Digests or links of the blobs to copy; none means all. */
  readonly names: readonly string[];
  /** A file of digests, `-` for standard input. */
  readonly digests: string | undefined;
  readonly prefix: string | undefined;
  readonly concurrency: string | undefined;
  readonly hasDocuments: boolean;
  readonly isJson: boolean;
}

/** @throws FixityError `invalid-option`, `invalid-digest`, or a `store-…` code */
export async function copyBlobs(sources: StoreCommandSources, request: CopyRequest): Promise<number> {
  const plan = planOf(request);
  using interruption = new Interruption();
  try {
    const code = await copy(sources, plan, interruption.signal);
    return interruption.exitCode ?? code;
  } catch (error) {
    if (interruption.exitCode === null) throw error;
    return interruption.exitCode;
  }
}

interface Plan extends Omit<CopyRequest, "names" | "concurrency" | "prefix"> {
  readonly named: readonly Digest[];
  /** Whether only the named blobs and those of the file are copied. */
  readonly isOfSome: boolean;
  readonly prefix: string;
  readonly concurrency: number;
}

function planOf({ names, concurrency, prefix, ...request }: CopyRequest): Plan {
  const isOfSome = names.length > 0 || request.digests !== undefined;
  if (isOfSome && prefix !== undefined) {
    throw new FixityError("invalid-option", "--prefix is for all files: leave it out, or the digests.");
  }
  return {
    ...request,
    named: names.map(parseBlobName),
    isOfSome,
    prefix: parsePrefix(prefix ?? ""),
    concurrency: readFlag("--concurrency", kinds.concurrency, concurrency) ?? DEFAULT_CONCURRENCY,
  };
}

async function copy(sources: StoreCommandSources, plan: Plan, signal: AbortSignal): Promise<number> {
  const { env } = sources;
  const isOneService = /^https?:/i.test(plan.from) !== /^https?:/i.test(plan.to);
  const shared = { sources, signal, warn: warnOf };
  const tokenOf = (role: "FROM" | "TO"): string | undefined =>
    env[`${role}_TOKEN`] ?? (isOneService ? env["FIXITY_TOKEN"] : undefined);
  await using from = await openPlace(plan.from, { ...shared, role: "FROM", token: tokenOf("FROM") });
  if (from.kind === "service" && !plan.isOfSome) throw notListed(plan.from);
  await using to = await openPlace(plan.to, { ...shared, role: "TO", token: tokenOf("TO") });
  if (from.identity === to.identity) {
    throw new FixityError(
      "invalid-option",
      `${JSON.stringify(plan.from)} and ${JSON.stringify(plan.to)} are one place.`,
    );
  }
  const tally = new CopyTally();
  using progress = new ProgressLine();
  const isUnicode = isUnicodeTerminal(env);
  progress.show((columns) => tally.line({ columns, isUnicode }));
  const report = (blob: CopiedBlob): void => {
    tally.add(blob);
    if (plan.isJson) return printJson(blob);
    const line = formatCopied(blob);
    if (line === null) return;
    progress.clear();
    print(line);
  };
  const run = new CopyRun({ from, to, plan, tally, report, signal });
  let isComplete = false;
  try {
    await run.copy();
    isComplete = true;
  } finally {
    progress.clear();
    if (plan.isJson) printJson({ status: isComplete ? "done" : "stopped", ...tally.counts });
    else print(tally.summary(isComplete));
  }
  return tally.isGood ? EXIT.ok : EXIT.notOk;
}

interface CopyRunOptions {
  readonly from: Place;
  readonly to: Place;
  readonly plan: Plan;
  readonly tally: CopyTally;
  readonly report: (blob: CopiedBlob) => void;
  readonly signal: AbortSignal;
}

/** One run of the command over two open places. */
class CopyRun {
  readonly #options: CopyRunOptions;
  /** The service over the target; `null` if that is a running one. */
  readonly #target: Fixity | null;
  /** Digests in hex of what must not be copied. */
  readonly #blocked = new Set<string>();
  /** Digests in hex of which the target has a damaged copy, perhaps. */
  readonly #marked = new Set<string>();

  constructor(options: CopyRunOptions) {
    this.#options = options;
    const { to } = options;
    this.#target =
      to.kind === "service"
        ? null
        : createFixity({
            store: to.store,
            // What is stored at the source is accepted, whatever limit the server has now.
            maxSize: Number.MAX_SAFE_INTEGER,
            // What is stored at the target is compared by its size. `verify` reads it.
            verifyReads: "never",
            log: warnOf,
          });
  }

  async copy(): Promise<void> {
    const { from, to, plan, tally, report, signal } = this.#options;
    const { concurrency } = plan;
    for (const place of [from, to]) await this.#readMarks(place, place === to);
    if (plan.isOfSome) {
      return await forEachConcurrent(
        digestsOf(plan),
        concurrency,
        async (digest) => report((await this.#isStored(digest)) ?? (await this.#copyBlob(digest, null))),
        signal,
      );
    }
    if (plan.hasDocuments && plan.prefix === "") tally.documents = await this.#copyDocuments();
    await forEachConcurrent(
      this.#missing(),
      concurrency,
      async (blob) => {
        const copied = await this.#copyBlob(blob.digest, blob);
        // A blob that was removed since it was listed is not missing.
        if (copied.status !== "missing") report(copied);
      },
      signal,
    );
  }

  async #readMarks(place: Place, isTarget: boolean): Promise<void> {
    if (place.kind === "service" || place.store.documents === undefined) return;
    for await (const { name } of place.store.documents.list("marks/", this.#options.signal)) {
      const [, kind, hex = ""] = /^marks\/(damaged|blocked)-([0-9a-f]{64})$/.exec(name) ?? [];
      if (kind === "blocked") this.#blocked.add(hex);
      else if (kind === "damaged" && isTarget) this.#marked.add(hex);
    }
  }

  /** Copies documents that the target does not have. @returns their number */
  async #copyDocuments(): Promise<number> {
    const { from, to, signal } = this.#options;
    if (from.kind === "service" || to.kind === "service") return 0;
    const [source, target] = [from.store.documents, to.store.documents];
    if (source === undefined || target === undefined) return 0;
    let copied = 0;
    for (const prefix of COPIED_DOCUMENTS) {
      for await (const { name } of source.list(prefix, signal)) {
        const document = await source.read(name, signal);
        if (document === null) continue;
        if ((await target.write(name, document.text, { ifAbsent: true })) !== null) copied += 1;
      }
    }
    return copied;
  }

  /** The blobs of the source that the target does not have. Reports the others. */
  async *#missing(): AsyncGenerator<BlobStat, void, undefined> {
    const { from, to, plan, tally, report, signal } = this.#options;
    if (from.kind === "service") return;
    const prefixes = prefixesOf(plan.prefix);
    tally.progress.expectPrefixes(prefixes.length);
    for (const prefix of prefixes) {
      // The sizes of one prefix, a 256th of the target, are in memory at a time.
      const stored = new Map<string, number>();
      if (to.kind === "store") {
        for await (const { digest, size } of listed(to.store, prefix, signal)) stored.set(digest.hex, size);
      }
      for await (const blob of listed(from.store, prefix, signal)) {
        const { digest, size } = blob;
        if (!digest.hex.startsWith(plan.prefix)) continue;
        const isStored = stored.get(digest.hex) === size;
        if (isStored && !(await this.#isDamaged(digest))) report({ status: "existed", digest, size });
        else yield blob;
      }
      tally.progress.endPrefix();
    }
  }

  /** Whether a copy at the target, which is stored, is marked as damaged. */
  async #isDamaged(digest: Digest): Promise<boolean> {
    if (!this.#marked.has(digest.hex)) return false;
    try {
      return (await this.#target?.stat(digest, this.#options.signal)) === null;
    } catch (error) {
      // A blocked one is neither compared nor replaced: the next step reports it.
      if (error instanceof FixityError && ["blob-damaged", "blob-blocked"].includes(error.code)) return true;
      throw error;
    }
  }

  /** The result for a named blob that the target has; `null` if it has none. */
  async #isStored(digest: Digest): Promise<CopiedBlob | null> {
    const { from, to, signal } = this.#options;
    if (to.kind === "service" || this.#blocked.has(digest.hex)) return null;
    const stored = await to.store.stat(digest, signal);
    if (stored === null || (await this.#isDamaged(digest))) return null;
    const { size } = stored;
    if (from.kind === "store" && ((await from.store.stat(digest, signal))?.size ?? size) !== size) return null;
    return { status: "existed", digest, size };
  }

  /** @throws what would fail for every blob */
  async #copyBlob(digest: Digest, listedAs: BlobStat | null): Promise<CopiedBlob> {
    if (this.#blocked.has(digest.hex)) return { status: "blocked", digest };
    const { from, to, tally, signal } = this.#options;
    for (let attempts = 1; ; attempts += 1) {
      const source = new SourceBytes({ from, onRead: (bytes) => tally.progress.addBytes(bytes), signal }, digest);
      const copied = to.kind === "store" ? await this.#store(source) : await this.#send(source, to.remote, listedAs);
      if (copied.status !== "damaged" || attempts === READ_ATTEMPTS) return copied;
    }
  }

  async #store(source: SourceBytes): Promise<CopiedBlob> {
    const { digest } = source;
    const { signal } = this.#options;
    try {
      await using bytes = await source.open();
      if (bytes === null) return { status: "missing", digest };
      const length = source.size ?? undefined;
      const receipt = await this.#target?.put(bytes, { digest, length, signal });
      return { status: receipt?.existed === true ? "existed" : "copied", digest, size: receipt?.size ?? 0 };
    } catch (error) {
      signal.throwIfAborted();
      if (source.failure !== null) return await source.failed(source.failure);
      if (!(error instanceof FixityError)) throw error;
      const code: string = error.code;
      if (code === "blob-blocked") return { status: "blocked", digest };
      if (code === "digest-mismatch" || code === "length-mismatch") return damaged(digest);
      // Something else may be in the place of this one.
      if (code === "store-misconfigured" && (await this.#isUsable())) {
        return { status: "failed", digest, reason: error.message };
      }
      throw error;
    }
  }

  /** Whether the target works, so that a failure was that of one blob. */
  async #isUsable(): Promise<boolean> {
    const { to, signal } = this.#options;
    if (to.kind === "service") return true;
    return await to.store.check(signal).then(
      () => true,
      () => false,
    );
  }

  async #send(source: SourceBytes, remote: Remote, listedAs: BlobStat | null): Promise<CopiedBlob> {
    const { digest } = source;
    const { signal } = this.#options;
    const size = listedAs?.size ?? (await source.stat());
    if (size === null) return { status: "missing", digest };
    try {
      const status = await sendBlob(remote, { digest, size, open: () => source.open() }, signal);
      if (status !== "damaged") return { status: status === "stored" ? "copied" : status, digest, size };
      return damaged(digest);
    } catch (error) {
      signal.throwIfAborted();
      if (source.failure !== null) return await source.failed(source.failure);
      const failure = explainFailure(error, remote);
      if (failure === null) throw error;
      if (failure.code === "blob-blocked") return { status: "blocked", digest };
      if (failure.affectsAll) throw new FixityError("store-unavailable", failure.reason, { cause: error });
      return { status: "failed", digest, size, reason: failure.reason };
    }
  }
}

function damaged(digest: Digest): CopiedBlob {
  return { status: "damaged", digest, reason: "its bytes at the source are not those of its digest" };
}

async function* digestsOf({ named, digests }: Plan): AsyncGenerator<Digest, void, undefined> {
  yield* named;
  if (digests !== undefined) yield* digestsInFile(digests);
}

function listed(store: BlobStore, prefix: string, signal: AbortSignal): AsyncIterable<BlobStat> {
  if (store.listPrefix !== undefined) return store.listPrefix(prefix, signal);
  throw new FixityError("invalid-option", `This store cannot be listed by prefixes: ${store.description}.`);
}

function warnOf(message: string, error?: unknown): void {
  printProblem(error instanceof Error ? `${message}: ${error.message}` : message);
}

function notListed(from: string): FixityError {
  return new FixityError(
    "invalid-option",
    `A service does not list its files: name the digests to copy from ${from}, or pass a file of them with --digests.`,
  );
}
