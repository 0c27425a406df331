import { Pacer } from "../base/pacer.ts";
import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import { readFlag } from "../settings/config.ts";
import * as kinds from "../settings/kinds.ts";
import { parseBlobName } from "./blob-names.ts";
import { EXIT } from "./exit-codes.ts";
import { print, printJson } from "./output.ts";
import { isUnicodeTerminal, ProgressLine } from "./progress.ts";
import { type RepairSource, repairSource } from "./repair-source.ts";
import {
  assertStoreExists,
  type OpenedStore,
  serviceOptions,
  type StoreCommandSources,
  withStore,
} from "./store-command.ts";
import { formatBlob, Tally, type VerifiedBlob } from "./verify-report.ts";
import { planWalk, walkPrefixes } from "./verify-walk.ts";

/** The number of blobs that are read concurrently. */
const DEFAULT_CONCURRENCY = 4;

/** What the user asks for; the flags are texts. */
export interface VerifyRequest {
  /** Digests or links of the blobs to verify; none means all blobs. */
  readonly names: readonly string[];
  readonly isJson: boolean;
  /** Whether damage is marked for the servers over the store. */
  readonly marks: boolean;
  readonly rate?: string | undefined;
  readonly concurrency?: string | undefined;
  readonly olderThan?: string | undefined;
  /** Where the right bytes of damaged blobs are fetched from; see {@link repairSource}. */
  readonly repairFrom?: string | undefined;
}

/** How blobs are read. */
interface Plan {
  readonly named: readonly Digest[];
  readonly marks: boolean;
  /** Bytes per second; `Infinity` for no limit. */
  readonly rate: number;
  readonly concurrency: number;
  readonly olderThanMs: number | null;
}

/**
 * `fixity verify`: reads blobs again, and marks and reports those whose bytes do not match their
 * digest.
 *
 * @throws FixityError `invalid-option` or `invalid-digest` for mistakes in the request, or a
 *   `store-…` code
 */
export async function verifyBlobs(sources: StoreCommandSources, request: VerifyRequest): Promise<number> {
  const plan = planOf(request);
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    const { repairFrom } = request;
    await using source = repairFrom === undefined ? null : await repairSource(repairFrom, opened.config, sources);
    await using run = new VerificationRun(opened, plan, source);
    using progress = new ProgressLine();
    const isUnicode = isUnicodeTerminal(sources.env);
    progress.show((columns) => run.tally.progress(columns, isUnicode));
    const report = (blob: VerifiedBlob): void => {
      run.tally.add(blob);
      if (request.isJson) return printJson(blob);
      if (blob.status === "intact") return;
      progress.clear();
      print(`${formatBlob(blob)}\n`);
    };
    let isComplete = false;
    try {
      await run.verify(report);
      isComplete = true;
    } finally {
      progress.clear();
      if (request.isJson) printJson({ status: isComplete ? "done" : "stopped", ...run.tally.counts });
      else print(`${run.tally.summary(isComplete, plan.olderThanMs !== null)}\n`);
    }
    return run.tally.isGood ? EXIT.ok : EXIT.notOk;
  });
}

function planOf({ names, marks, rate, concurrency, olderThan, repairFrom }: VerifyRequest): Plan {
  if (!marks && repairFrom !== undefined) {
    throw new FixityError(
      "invalid-option",
      "--no-mark only reports, and --repair-from changes the store: leave one out.",
    );
  }
  const named = names.map(parseBlobName);
  const olderThanMs = readFlag("--older-than", kinds.age, olderThan);
  if (olderThanMs !== null && named.length > 0) {
    throw new FixityError("invalid-option", "--older-than is for all files: leave it out, or the names.");
  }
  return {
    named,
    marks,
    rate: readFlag("--rate", kinds.size, rate) || Infinity,
    concurrency: readFlag("--concurrency", kinds.concurrency, concurrency) ?? DEFAULT_CONCURRENCY,
    olderThanMs,
  };
}

type Report = (blob: VerifiedBlob) => void;

/** One run of the command over an open store. */
class VerificationRun implements AsyncDisposable {
  readonly tally = new Tally();
  readonly #opened: OpenedStore;
  readonly #plan: Plan;
  readonly #fixity: Fixity;
  readonly #pacer: Pacer;
  readonly #source: RepairSource | null;

  /** @param source where the right bytes of damaged blobs may be */
  constructor(opened: OpenedStore, plan: Plan, source: RepairSource | null) {
    this.#opened = opened;
    this.#source = source;
    this.#plan = plan;
    this.#pacer = new Pacer(plan.rate);
    const { warn } = opened;
    this.#fixity = createFixity({
      ...serviceOptions(opened),
      // What is stored already may be repaired, whatever limit the server has now.
      maxSize: Number.MAX_SAFE_INTEGER,
      // Damage is reported on standard output already.
      log: (message, cause) => cause !== undefined && warn(message, cause),
    });
  }

  /** Delivers events of damage and repair for a moment; servers deliver the rest. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fixity.close();
  }

  async verify(report: Report): Promise<void> {
    const { store, signal, warn } = this.#opened;
    const { named, concurrency, olderThanMs } = this.#plan;
    if (named.length > 0) {
      const verify = async (digest: Digest): Promise<void> =>
        report(await this.#repaired(await this.#verifyBlob(digest)));
      return await forEachConcurrent(named, concurrency, verify, signal);
    }
    const verify = async (digest: Digest): Promise<boolean> => {
      const blob = await this.#verifyBlob(digest);
      // A blob that was removed since it was listed is not missing.
      if (blob.status === "missing") return true;
      const { status, ...others } = await this.#repaired(blob);
      report({ status, ...others });
      return blob.status !== "unreadable" || status === "repaired";
    };
    const prefixes = await planWalk(store, olderThanMs, signal);
    const unreadable = await this.#reportMisplaced(report);
    if (prefixes === null) {
      const verifyListed = async ({ digest }: { readonly digest: Digest }): Promise<void> =>
        void (await verify(digest));
      return await forEachConcurrent(store.list(signal), concurrency, verifyListed, signal);
    }
    this.tally.expectPrefixes(prefixes.length);
    const onPrefix = (): void => this.tally.endPrefix();
    await walkPrefixes(store, { prefixes, concurrency, signal, verify, unreadable, onPrefix, warn });
  }

  /**
   * The result for a blob after an attempt to store its right bytes, if it is not intact. What the
   * operator has blocked may be missing or damaged.
   */
  async #repaired(blob: VerifiedBlob): Promise<VerifiedBlob> {
    const { status, digest } = blob;
    const source = this.#source;
    if (status === "intact" || digest === null) return blob;
    const { signal } = this.#opened;
    if (await this.#fixity.isBlocked(digest, signal))
      return { ...blob, status: "blocked", reason: blob.reason ?? status };
    if (source === null) return blob;
    try {
      await using bytes = await source.open(digest, signal);
      if (bytes === null) return { ...blob, repair: `not repaired: ${source.name} does not have it` };
      await this.#fixity.put(bytes, { digest, signal });
      return { ...blob, status: "repaired", repair: `repaired from ${source.name}` };
    } catch (error) {
      signal.throwIfAborted();
      const isWrong = error instanceof FixityError && error.code === "digest-mismatch";
      const why = isWrong ? `the bytes in ${source.name} are wrong, too` : messageOf(error);
      return { ...blob, repair: `not repaired: ${why}` };
    }
  }

  async #verifyBlob(digest: Digest): Promise<VerifiedBlob> {
    const { store, signal } = this.#opened;
    const { marks } = this.#plan;
    const onRead = (bytes: number, read?: AbortSignal): Promise<void> => {
      this.tally.addRead(bytes);
      return this.#pacer.pass(bytes, read);
    };
    try {
      const verification = await this.#fixity.verify(digest, signal, { marks, onRead });
      if (verification === null) return { status: "missing", digest };
      const { size } = verification;
      if (verification.intact) return { status: "intact", digest, size };
      return { status: "damaged", digest, size, reason: reasonOf(verification.found) };
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

  /**
   * Blobs whose place is taken by something else are not listed, yet the store has lost them.
   *
   * @returns the prefixes of these blobs
   */
  async #reportMisplaced(report: Report): Promise<ReadonlySet<string>> {
    const { store, signal } = this.#opened;
    const prefixes = new Set<string>();
    for await (const { digest, path } of store.misplaced?.(signal) ?? []) {
      const reason = digest === null ? "it is not a folder" : `${path} is not a regular file`;
      report({ status: "unreadable", digest, path, reason });
      prefixes.add(digest?.hex.slice(0, 2) ?? path.slice(-2));
    }
    return prefixes;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function reasonOf(found: Digest | null): string {
  return found === null ? "it cannot be read to its end" : `its bytes are those of ${found.toString()}`;
}
