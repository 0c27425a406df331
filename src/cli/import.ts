import { realpath, stat } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { forEachConcurrent } from "../base/map-concurrent.ts";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import type { StagedFile } from "../core/staged-blob.ts";
import { settleNaming } from "../core/file-name.ts";
import type { ByteSource } from "../core/intake.ts";
import { mediaTypeOf } from "../core/media-type.ts";
import type { BlobStore } from "../core/store.ts";
import type { Receipt } from "../core/link.ts";
import type { Config } from "../settings/config.ts";
import { readFlag } from "../settings/config.ts";
import * as kinds from "../settings/kinds.ts";
import { openObjects } from "../settings/configured-store.ts";
import { explainStoreFailure } from "../settings/store-failure.ts";
import type { ForeignObjects } from "../stores/s3/foreign-objects.ts";
import type { CopiesForeignObjects, ForeignCopies } from "../stores/s3/publish/foreign-copies.ts";
import { EXIT } from "./exit-codes.ts";
import {
  filesBelow,
  type Importable,
  isImportable,
  objectsIn,
  type OpenedImport,
  type Unimportable,
} from "./import-sources.ts";
import { fileErrorText } from "./local-files.ts";
import { print, printJson, printProblem } from "./output.ts";
import { bucketConfig, bucketIdentity, parsePlace } from "./places.ts";
import { isUnicodeTerminal, ProgressLine } from "./progress.ts";
import { assertStoreExists, type OpenedStore, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";
import { asTusUpload } from "./tus-uploads.ts";
import { WalkProgress } from "./walk-progress.ts";

/** Files that are imported at the same time. */
const DEFAULT_CONCURRENCY = 4;

/** Bytes from which a file is cloned, if the file system can. Smaller ones are written as fast. */
const CLONE_MIN_BYTES = 1024 * 1024;

/**
 * Bytes from which an object is copied by the server, if it can. That takes five requests more than
 * a small object that is sent.
 */
const SERVER_COPY_MIN_BYTES = 8 * 1024 * 1024;

const LINK_WARNING =
  "--link: files stay where they are and become stored files as well. A program that still writes to one damages " +
  "the stored file. They are made read-only.";

const NOT_LINKABLE =
  "it cannot be linked: it is on another file system than the store, of another owner, or gone. " +
  "Without --link it is copied";

/** What the user asks for; the flags are texts. */
export interface ImportRequest {
  /** A folder, or `s3://bucket/prefix`. */
  readonly from: string;
  readonly concurrency: string | undefined;
  /** Whether files get a second name in the store, instead of being copied. */
  readonly isLink: boolean;
  /** Whether a tus server has filled the place: see `tus-uploads.ts`. */
  readonly isTus: boolean;
  readonly isJson: boolean;
}

/** The result for one file. */
type Imported =
  | { readonly status: "imported" | "existed"; readonly file: string; readonly receipt: Receipt }
  /** `damaged`: its bytes are not those of the digest in its name. `changed`: another program wrote to it. */
  | {
      readonly status: "damaged" | "blocked" | "changed" | "failed" | "skipped";
      readonly file: string;
      readonly reason: string;
    };

const BAD_STATUSES = ["damaged", "changed", "failed"] as const;

/**
 * `fixity import`: stores the files of a folder or bucket that other programs have filled. Files that
 * are named by their digest (`<sha256>.<ext>`) must have it.
 *
 * @throws FixityError `invalid-option`, or a `store-…` code
 */
export async function importFiles(sources: StoreCommandSources, request: ImportRequest): Promise<number> {
  const concurrency = readFlag("--concurrency", kinds.concurrency, request.concurrency) ?? DEFAULT_CONCURRENCY;
  return withStore(sources, async (opened) => {
    await using objects = await bucketOf(request.from, sources, opened);
    const found =
      objects === null ? await filesIn(request.from, opened) : objectsIn(objects, objects.keyPrefix, opened.signal);
    if (request.isLink && (objects !== null || opened.store.stageFile === undefined)) {
      throw invalid("--link is for a folder and a store on one disk: leave it out.");
    }
    if (opened.store.kind === "disk") await opened.store.check(opened.signal);
    else await assertStoreExists(opened);
    if (request.isLink) await assertLinkable(request.from, opened);
    const run = new ImportRun(opened, request, objects);
    using progress = new ProgressLine();
    const isUnicode = isUnicodeTerminal(sources.env);
    progress.show((columns) => run.progress.line(run.total, run.notable(), { columns, isUnicode }));
    let isComplete = false;
    try {
      const importOne = async (found: Importable | Unimportable): Promise<void> => {
        const file = request.isTus && isImportable(found) ? await asTusUpload(found, opened.signal) : found;
        if (file === null) return;
        const outcome = isImportable(file) ? await run.import(file) : { ...file, file: file.path };
        progress.clear();
        run.report(outcome);
      };
      await forEachConcurrent(found, concurrency, importOne, opened.signal);
      isComplete = true;
    } finally {
      progress.clear();
      run.end(isComplete);
    }
    return run.isGood ? EXIT.ok : EXIT.notOk;
  });
}

/**
 * The bucket that a text names; `null` if it names a folder.
 *
 * @throws FixityError `invalid-option` if it is that of the store, or the text names a service
 */
async function bucketOf(
  from: string,
  sources: StoreCommandSources,
  { config, warn, signal }: OpenedStore,
): Promise<ForeignObjects | null> {
  const place = parsePlace(from);
  if (place.kind === "service") throw invalid(`${from} is a service: 'fixity copy' copies named files from it.`);
  if (place.kind === "folder") return null;
  const source = bucketConfig(place, "FROM", sources);
  if (config.bucketName !== undefined && bucketIdentity(source) === bucketIdentity(config)) throw isTheStore(from);
  const objects = await openObjects(source, warn);
  try {
    await objects.check(signal);
    return objects;
  } catch (error) {
    await objects[Symbol.asyncDispose]();
    throw explainStoreFailure(error, source);
  }
}

/** @throws FixityError `invalid-option` for what is no folder, or is that of the store */
async function filesIn(
  from: string,
  { config, signal }: OpenedStore,
): Promise<AsyncIterable<Importable | Unimportable>> {
  const folder = await realpath(resolve(from)).catch(() => null);
  if (folder === null || !(await stat(folder)).isDirectory()) {
    throw invalid(`${JSON.stringify(from)} is neither a folder nor s3://bucket.`);
  }
  const own = await ownFolder(config);
  if (own !== null && !relative(own, folder).startsWith("..")) throw isTheStore(from);
  return filesBelow(folder, own, signal);
}

/** @throws FixityError `invalid-option` if the folder and the store are on two file systems */
async function assertLinkable(from: string, { config, warn }: OpenedStore): Promise<void> {
  const [source, store] = [await stat(resolve(from)), await stat(resolve(config.dir))];
  if (source.dev !== store.dev) {
    throw invalid(
      `--link: ${JSON.stringify(from)} is on another file system than the store. Without it, files are copied.`,
    );
  }
  warn(LINK_WARNING);
}

async function ownFolder({ dir, bucketName }: Config): Promise<string | null> {
  return bucketName === undefined ? await realpath(resolve(dir)).catch(() => resolve(dir)) : null;
}

/** One run of the command. */
class ImportRun {
  readonly progress: WalkProgress = new WalkProgress();
  readonly #opened: OpenedStore;
  readonly #fixity: Fixity;
  /** `null` unless the server of the store can copy what is imported. */
  readonly #copies: ForeignCopies | null;
  readonly #isLink: boolean;
  readonly #isJson: boolean;
  /** What links begin with. */
  readonly #prefix: string;
  readonly #counts = { imported: 0, existed: 0, damaged: 0, changed: 0, blocked: 0, failed: 0, skipped: 0 };
  #bytes = 0;

  constructor(opened: OpenedStore, { isLink, isJson }: ImportRequest, objects: ForeignObjects | null) {
    this.#opened = opened;
    const { store } = opened;
    this.#copies = objects !== null && copiesForeignObjects(store) ? store.copiesOf(objects) : null;
    this.#isLink = isLink;
    this.#isJson = isJson;
    this.#prefix = opened.config.prefix;
    this.#fixity = createFixity({
      store,
      // They are stored already, whatever limit the server has now.
      maxSize: Number.MAX_SAFE_INTEGER,
      // What the store has is compared by its size. `verify` reads it.
      verifyReads: "never",
      log: opened.warn,
    });
  }

  get total(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  get isGood(): boolean {
    return BAD_STATUSES.every((status) => this.#counts[status] === 0);
  }

  /** @throws what would fail for every file */
  async import(file: Importable): Promise<Imported> {
    const { signal } = this.#opened;
    const { path, naming = { filename: path } } = file;
    const digest = digestInName(path);
    let readFailure: { readonly reason: unknown } | null = null;
    try {
      // A file that is named by its digest is not read again by the next run.
      const known = digest === null ? null : await this.#fixity.claim(digest, { ...naming, length: file.size, signal });
      if (known !== null) return { status: "existed", file: path, receipt: known };
      await using copied = await this.#copyOnServer(file);
      // A linked file is compared by its commit, because the link changes its times.
      const isOpened = !this.#isLink && copied === null;
      const open = async (): Promise<OpenedImport | null> => (isOpened ? await file.open(signal) : null);
      await using opened = await open().catch((reason: unknown) => {
        readFailure = { reason };
        throw reason;
      });
      await using local = opened === null && !this.#isLink ? null : await this.#stage(file);
      if (local === null && this.#isLink) return { status: "failed", file: path, reason: NOT_LINKABLE };
      const staged = copied ?? local;
      const source = staged ?? opened;
      if (source === null) return { status: "changed", file: path, reason: "it was removed or replaced" };
      const bytes = watched(source.bytes, {
        onRead: (length) => this.progress.addBytes(length),
        onFailure: (reason) => (readFailure = { reason }),
      });
      const beforeCommit = async (): Promise<void> => {
        if (opened !== null && !(await opened.isUnchanged())) throw new ChangedFile();
      };
      const options = { ...naming, digest: digest ?? undefined, staged: staged ?? undefined, beforeCommit, signal };
      const receipt = await this.#fixity.put(bytes, options);
      return { status: receipt.existed ? "existed" : "imported", file: path, receipt };
    } catch (error) {
      signal.throwIfAborted();
      const outcome = await this.#failed(error, readFailure !== null);
      if (outcome === null) throw error;
      return { ...outcome, file: path };
    }
  }

  /** Lets the server of the store copy an object; `null` if that is impossible, or not worth it. */
  async #copyOnServer({ path, key, size }: Importable): Promise<StagedFile | null> {
    if (key === null || this.#copies === null || size < SERVER_COPY_MIN_BYTES) return null;
    const contentType = mediaTypeOf(settleNaming({ filename: path }).extension);
    return await this.#copies.stage(key, { contentType, signal: this.#opened.signal });
  }

  /** Stages a file without copying it; `null` if that is impossible, or not worth it. */
  async #stage({ localPath, size }: Importable): Promise<StagedFile | null> {
    const { store, signal } = this.#opened;
    if (localPath === null || store.stageFile === undefined || !(this.#isLink || size >= CLONE_MIN_BYTES)) return null;
    return await store.stageFile(localPath, { how: this.#isLink ? "link" : "clone", signal });
  }

  /** Reports the result for one file. */
  report(outcome: Imported): void {
    const { status, file } = outcome;
    this.#counts[status] += 1;
    if ("reason" in outcome) {
      if (this.#isJson) return printJson({ status, file, reason: outcome.reason });
      return printProblem(`${status}: ${file}: ${outcome.reason}`);
    }
    const { link, digest, size } = outcome.receipt;
    if (status === "imported") this.#bytes += size;
    if (this.#isJson) return printJson({ status, file, link: `${this.#prefix}/${link.toString()}`, digest, size });
    print(`${this.#prefix}/${link.toString()}  ${printable(file)}\n`);
  }

  /** Prints the totals: on standard error, because the links are the results. */
  end(isComplete: boolean): void {
    if (this.#isJson) {
      return printJson({ status: isComplete ? "done" : "stopped", ...this.#counts, bytes: this.#bytes });
    }
    const imported = `${counted(this.#counts.imported, "file")} imported, ${formatSize(this.#bytes)}`;
    process.stderr.write(`${[isComplete ? imported : `stopped early: ${imported}`, ...this.notable()].join("; ")}\n`);
  }

  notable(): string[] {
    const { imported: _, ...others } = this.#counts;
    return Object.entries(others)
      .filter(([, count]) => count > 0)
      .map(([status, count]) => `${count.toLocaleString("en")} ${status === "existed" ? "already stored" : status}`);
  }

  /** The result for a file that could not be imported; `null` if all others would fail, too. */
  async #failed(error: unknown, isReadFailure: boolean): Promise<FailedImport | null> {
    const code = error instanceof FixityError ? error.code : null;
    // A linked file that is shorter by now ends early.
    if (code === "length-mismatch" || (code === "blob-damaged" && isReadFailure && this.#isLink)) {
      return { status: "changed", reason: CHANGED };
    }
    if (error instanceof FixityError && code === "digest-mismatch") {
      return { status: "damaged", reason: "its bytes are not those of the digest in its name" };
    }
    if (error instanceof FixityError && code === "blob-blocked") return { status: "blocked", reason: error.message };
    if (!isReadFailure) return null;
    if (error instanceof FixityError) return { status: "failed", reason: error.message };
    return systemErrorCode(error) === null ? null : { status: "failed", reason: fileErrorText(error) };
  }
}

type FailedImport = Omit<Extract<Imported, { readonly reason: string }>, "file">;

const CHANGED = "it changed while it was read: import it again when nothing writes to it";

/** Another program wrote to a file while it was read. Not reported as an error of the service. */
class ChangedFile extends FixityError {
  constructor() {
    super("length-mismatch", CHANGED);
  }
}

/** The digest in a name of the form `<64 hex digits>[.<extension>]`; `null` for any other name. */
function digestInName(path: string): Digest | null {
  const [, hex = ""] = /(?:^|\/)([0-9a-f]{64})(?:\.[^/.]{1,16})?$/i.exec(path) ?? [];
  return Digest.fromHex(hex.toLowerCase());
}

async function* watched(
  bytes: ByteSource,
  { onRead, onFailure }: { readonly onRead: (length: number) => void; readonly onFailure: (reason: unknown) => void },
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = Symbol.asyncIterator in bytes ? bytes[Symbol.asyncIterator]() : bytes[Symbol.iterator]();
  try {
    for (;;) {
      let next: IteratorResult<Uint8Array, unknown>;
      try {
        next = await iterator.next();
      } catch (reason) {
        onFailure(reason);
        throw reason;
      }
      if (next.done === true) return;
      onRead(next.value.length);
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}

function isTheStore(from: string): FixityError {
  return invalid(`${JSON.stringify(from)} is the store itself, or in its folder. What is in it need not be imported.`);
}

function copiesForeignObjects(store: BlobStore): store is BlobStore & CopiesForeignObjects {
  return "copiesOf" in store;
}
