/**
 * Verified reads: what is read is what was uploaded, or an error.
 *     verified-reads.ts    decides for each read whether and when the bytes are verified
 *     verified-readers.ts  a blob that is hashed on its way out; a small one that was verified before
 *     whole-reads.ts       a blob is read to its end and compared with its digest
 *     background-verifications.ts  verifications for claims, and after ranges of large blobs
 *     verified-blobs.ts    what this process has verified within a day
 *     damage.ts            what is known about a damaged copy, and the errors for reads of it
 *     damage-marks.ts      what any instance has found damaged
 *     verification-passes.ts  when all blobs of each prefix were last read, for `fixity verify`
 *
 * | a read of a blob that is not verified here | is verified |
 * | --- | --- |
 * | up to 256 KiB, whole or a range | before the response |
 * | larger, whole | on its way out; the last 64 KiB are withheld until the digest holds |
 * | a range of one up to 8 MiB | before the response |
 * | a range of a larger one | not; where reading costs nothing, in the background afterwards |
 *
 * The life of a blob that differs from its digest:
 *
 *     intact ── a read differs ──> suspect ── the second read is right ──> intact
 *                                     └── it differs too ──> damaged ── upload ──> intact
 *
 * Reads of a suspect blob wait until this process has read it once more, past every cache: a fault
 * in transit must not take a blob offline. A damaged one is marked for all instances. A mark names
 * the copy that was read, so an upload, which replaces the copy, repairs the blob even if the
 * process dies before it removes the mark.
 * A crash forgets what was verified and what was suspect, and keeps the marks.
 */
import { hash } from "node:crypto";
import { abortRace, timeLimit } from "../../base/abort-race.ts";
import { SingleFlight } from "../../base/single-flight.ts";
import { type Admissions, stoppedBy } from "../admissions.ts";
import type { BlobIdentity, BlobStat } from "../blob-stat.ts";
import { ByteRange } from "../byte-range.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import type { Marks } from "../marks.ts";
import type { Purges } from "../purges.ts";
import type { Events } from "../events/events.ts";
import type { StoredVerdict } from "../staged-blob.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../store.ts";
import { BACKGROUND_BYTES_PER_SECOND, BackgroundVerifications } from "./background-verifications.ts";
import { blobDamaged, changesInTransit, describeDamage } from "./damage.ts";
import { DamageMarks } from "./damage-marks.ts";
import type { VerifiedBlobs, VerifyReads } from "./verified-blobs.ts";
import { VerifiedReader, VerifyingReader } from "./verified-readers.ts";
import { readAll, readWhole, type OnRead, type Reading, type WholeReadOptions } from "./whole-reads.ts";

/** Blobs up to this size are read into memory and verified before they are served. */
const SMALL_BLOB_MAX_BYTES = 256 * 1024;

/** Up to this size, a range is served only after the whole blob was verified. */
const RANGE_VERIFIED_MAX_BYTES = 8 * 1024 ** 2;

/** Reads of one request that differ from the digest although the stored bytes are right. */
const READ_ATTEMPTS_MAX = 3;

/** Milliseconds that a claim waits for the verification of the blob that it names. */
const CLAIM_WAIT_MS = 10_000;

/** What {@link VerifiedReads} needs to know. */
export interface VerifiedReadsOptions {
  readonly mode: VerifyReads;
  readonly admissions: Admissions;
  readonly marks: Marks;
  /** Called for repaired blobs. */
  readonly purges: Purges;
  readonly events: Events | null;
  /** For the operator: damage, and what could not be recorded about it. */
  readonly log: (message: string, cause?: unknown) => void;
  readonly verified: VerifiedBlobs;
}

/** Reads blobs of one store, for one service. */
export class VerifiedReads {
  readonly #store: BlobStore;
  readonly #mode: VerifyReads;
  readonly #admissions: Admissions;
  readonly #events: Events | null;
  readonly #log: VerifiedReadsOptions["log"];
  readonly #verified: VerifiedBlobs;
  readonly #marks: DamageMarks;
  readonly #purges: Purges;
  /** Digests in hex of blobs of which a read differed, until they were read once more. */
  readonly #suspects = new Set<string>();
  #commitsOfSuspects = 0;
  readonly #secondReads = new SingleFlight<void>();
  readonly #verifications = new SingleFlight<Reading | null>();
  readonly #background: BackgroundVerifications;

  constructor(store: BlobStore, options: VerifiedReadsOptions) {
    const { mode, admissions, marks, events, purges, log, verified } = options;
    this.#verified = verified;
    this.#store = store;
    this.#mode = mode;
    this.#admissions = admissions;
    this.#events = events;
    this.#log = log;
    this.#purges = purges;
    this.#marks = new DamageMarks(marks, log, (digest) => purges.later(digest, "repaired"));
    this.#background = new BackgroundVerifications(admissions, (...args) => this.#verify(...args));
  }

  /**
   * Opens a blob, or one range of it; `null` if there is none. The reader fails with `blob-damaged`
   * before its last byte if the bytes are not those of the digest.
   *
   * @throws FixityError `blob-damaged`, `range-not-satisfiable`, or a `store-…` code
   */
  async open(digest: Digest, options: OpenOptions = {}): Promise<BlobReader | null> {
    for (let attempts = 0; attempts < READ_ATTEMPTS_MAX; attempts += 1) {
      await this.#settle(digest, options.signal);
      const reader = await this.#openStored(digest, options);
      if (reader === null) return null;
      if (reader === "suspect") continue;
      try {
        const verified = await this.#verifyRead(reader, digest, { ...options, isRepeated: attempts > 0 });
        const isReaderInUse = verified === reader || verified instanceof VerifyingReader;
        if (!isReaderInUse) await reader[Symbol.asyncDispose]();
        if (verified !== "suspect") return verified;
      } catch (error) {
        await reader[Symbol.asyncDispose]();
        throw error;
      }
    }
    throw changesInTransit();
  }

  /**
   * The facts of a blob, or `null`. A small blob is verified before.
   *
   * @throws FixityError `blob-damaged`, or a `store-…` code
   */
  stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#statVerified(digest, SMALL_BLOB_MAX_BYTES, signal);
  }

  /**
   * Like {@link stat}, for a blob of which several ranges follow, or which another server is to
   * send: verified as far as a range of it would be.
   */
  async statForRanges(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    const maxBytes = this.#mode === "always" ? Infinity : RANGE_VERIFIED_MAX_BYTES;
    const stat = await this.#statVerified(digest, maxBytes, signal);
    if (stat !== null && stat.size > maxBytes) this.#verifyAfterRange(digest, stat.identity);
    return stat;
  }

  /**
   * Whether content with this digest and length is stored and need not be sent: only if it is
   * verified. Waits a while for a verification that is due. The blob is durable.
   *
   * @returns `absent` if there is none; `unknown` without a length, or if the blob has another size,
   *   is damaged, or could not be verified in time
   */
  async findStored(
    digest: Digest,
    { length, signal }: { readonly length?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<BlobStat | "absent" | "unknown"> {
    if (length === undefined) return "unknown";
    await this.#marks.refresh();
    const stat = await this.#store.confirm(digest, signal);
    if (stat === null) return "absent";
    if (stat.size !== length || this.#suspects.has(digest.hex)) return "unknown";
    if (this.#marks.of(digest, stat.identity) !== null) return "unknown";
    if (this.#mode === "never" || this.#isVerified(digest, stat.identity)) return stat;
    const reading = await this.#verifyForClaim(digest, length, signal);
    return reading?.isIntact === true && reading.identity === stat.identity ? stat : "unknown";
  }

  /** Damaged blobs that are known here. */
  get damagedCount(): number {
    return this.#marks.count;
  }

  /** What a commit of the right bytes does with a blob that is already stored. */
  async judge(digest: Digest, stored: BlobStat): Promise<StoredVerdict> {
    await this.#marks.refresh();
    if (this.#marks.of(digest, stored.identity) !== null) return "damaged";
    if (this.#mode === "never" || this.#isVerified(digest, stored.identity)) return "keep";
    if (this.#store.replacesCheaply === true) return "replace";
    const reading = await this.#verify(digest);
    if (reading === null) return "replace";
    if (reading.isIntact) return "keep";
    await this.#settle(digest, undefined);
    return this.#marks.of(digest, stored.identity) === null ? "keep" : "damaged";
  }

  /**
   * Called when a blob was committed. The commit may have kept the stored copy before a read of it
   * differed: a suspect stays one until its second read, and the mark of this very copy stays.
   */
  async noteCommitted(digest: Digest): Promise<void> {
    if (this.#suspects.has(digest.hex)) this.#commitsOfSuspects += 1;
    if (!this.#marks.has(digest)) return;
    // Without its facts the copy may be the marked one. The next verification removes an outdated mark.
    const stat = await this.#store.stat(digest).catch(() => "unknown" as const);
    if (stat === "unknown") return;
    if (stat?.identity !== undefined && this.#marks.of(digest, stat.identity) !== null) return;
    await this.#marks.clear(digest, this.#events);
    await this.#purges.now(digest, "repaired");
  }

  /** Called when a blob was removed: its mark is of no copy any more. */
  async noteRemoved(digest: Digest): Promise<void> {
    // Another process may have written the mark.
    await this.#marks.refresh();
    await this.#marks.clear(digest);
  }

  /**
   * Reads a blob and compares its digest; `null` if there is none. One that differs is read once
   * more before it counts as damaged.
   *
   * @param options `marks`: whether damage is marked for all instances. @default true
   */
  async verify(
    digest: Digest,
    { marks = true, signal, onRead }: Omit<WholeReadOptions, "bypassCache"> & { readonly marks?: boolean } = {},
  ): Promise<Reading | null> {
    const options = { signal, onRead, bypassCache: true };
    const first = await this.#readWhole(digest, options);
    if (first === null || first.isIntact) return first;
    if (!marks) return await this.#readWhole(digest, options);
    this.#verified.forget(digest);
    this.#suspects.add(digest.hex);
    await this.#settle(digest, signal, onRead);
    const stat = await this.#store.stat(digest, signal);
    if (stat === null) return null;
    const damage = this.#marks.of(digest, stat.identity);
    if (damage !== null) return { isIntact: false, damage };
    return { isIntact: true, identity: stat.identity, size: stat.size };
  }

  /** Waits until the marks are recent and the blob is no longer suspect. */
  async #settle(digest: Digest, signal: AbortSignal | undefined, onRead?: OnRead): Promise<void> {
    const refreshed = this.#marks.refresh();
    if (refreshed !== undefined) await abortRace(refreshed, signal);
    while (this.#suspects.has(digest.hex)) await this.#readAgain(digest, signal, onRead);
  }

  /** @returns `suspect` if the range may lie outside only because the blob was shortened */
  async #openStored(digest: Digest, options: OpenOptions): Promise<BlobReader | "suspect" | null> {
    try {
      return await this.#store.open(digest, options);
    } catch (error) {
      const isOutside = error instanceof FixityError && error.code === "range-not-satisfiable";
      if (!isOutside || this.#mode === "never") throw error;
      const stat = await this.statForRanges(digest, options.signal);
      if (stat === null) return null;
      if (options.range?.within(stat.size) === null) throw error;
      return "suspect";
    }
  }

  /**
   * A reader whose bytes are, or will be, verified as far as the mode demands.
   *
   * @returns `suspect` if they differ
   */
  async #verifyRead(
    reader: BlobReader,
    digest: Digest,
    { range, signal, isRepeated }: OpenOptions & { readonly isRepeated: boolean },
  ): Promise<BlobReader | "suspect"> {
    const { size, span, identity } = reader;
    const damage = this.#marks.of(digest, identity);
    if (damage !== null) throw blobDamaged(damage);
    if (reader.verifiedBytes !== undefined) this.#remember(digest, identity, reader.verifiedAt);
    if (this.#mode === "never" || reader.verifiedBytes !== undefined) return reader;
    if (!isRepeated && this.#isVerified(digest, identity)) return reader;
    const isWhole = span.end - span.start === size;
    if (size <= SMALL_BLOB_MAX_BYTES) return await this.#readSmall(isWhole ? reader : null, digest, { range, signal });
    if (isWhole) {
      return new VerifyingReader(reader, digest, {
        onIntact: () => this.#remember(digest, identity),
        onMismatch: () => {
          this.#suspect(digest);
          return blobDamaged(null);
        },
      });
    }
    if (size > RANGE_VERIFIED_MAX_BYTES && this.#mode === "daily") {
      this.#verifyAfterRange(digest, identity);
      return reader;
    }
    const reading = await this.#verify(digest, signal);
    return reading?.isIntact === true && reading.identity === identity ? reader : "suspect";
  }

  /** Reads a small blob as a whole, and returns the range of it. */
  async #readSmall(
    whole: BlobReader | null,
    digest: Digest,
    { range, signal }: OpenOptions,
  ): Promise<BlobReader | "suspect"> {
    const opened = whole ?? (await this.#store.open(digest, { signal }));
    if (opened === null) return "suspect";
    await using reader = opened;
    if (reader.size > SMALL_BLOB_MAX_BYTES) return "suspect";
    const bytes = reader.verifiedBytes ?? (await readAll(reader));
    if (bytes === null || hash("sha256", bytes, "hex") !== digest.hex) {
      this.#suspect(digest);
      return "suspect";
    }
    this.#remember(digest, reader.identity);
    return new VerifiedReader(bytes, ByteRange.resolve(range, bytes.length), reader.identity);
  }

  async #statVerified(digest: Digest, maxBytes: number, signal: AbortSignal | undefined): Promise<BlobStat | null> {
    for (let attempts = 0; attempts < READ_ATTEMPTS_MAX; attempts += 1) {
      await this.#settle(digest, signal);
      const stat = await this.#store.stat(digest, signal);
      if (stat === null) return null;
      const damage = this.#marks.of(digest, stat.identity);
      if (damage !== null) throw blobDamaged(damage);
      if (this.#mode === "never" || stat.size > maxBytes || this.#isVerified(digest, stat.identity)) return stat;
      const reading = await this.#verify(digest, signal);
      if (reading === null) return null;
      // Whatever its identity: what was read is newer, and servers disagree about times.
      if (reading.isIntact && reading.size === stat.size) return stat;
    }
    throw changesInTransit();
  }

  #isVerified(digest: Digest, identity: BlobIdentity | undefined): boolean {
    return this.#mode === "daily" && !this.#suspects.has(digest.hex) && this.#verified.has(digest, identity);
  }

  #remember(digest: Digest, identity: BlobIdentity | undefined, verifiedAt?: number): void {
    this.#verified.add(digest, identity, verifiedAt);
    // A mark left over from a copy that was replaced, perhaps by a process that died since.
    if (!this.#marks.has(digest) || this.#marks.of(digest, identity) !== null) return;
    void this.#marks.clear(digest, this.#events);
    this.#purges.later(digest, "repaired");
  }

  #verifyAfterRange(digest: Digest, identity: BlobIdentity | undefined): void {
    if (this.#store.isLocal !== true || this.#mode !== "daily" || this.#isVerified(digest, identity)) return;
    void this.#background.run(digest, "range");
  }

  /** @returns `null` if it takes too long; it goes on nevertheless, for a later claim */
  async #verifyForClaim(digest: Digest, length: number, signal: AbortSignal | undefined): Promise<Reading | null> {
    const verification = this.#background.run(digest, "claim");
    if (length / BACKGROUND_BYTES_PER_SECOND > CLAIM_WAIT_MS / 1000) return null;
    return await timeLimit(verification, CLAIM_WAIT_MS, signal);
  }

  /** Verifies a blob once for all callers that need it now. One that differs is suspect. */
  #verify(digest: Digest, signal?: AbortSignal, onRead?: OnRead): Promise<Reading | null> {
    const work = async (abandoned: AbortSignal): Promise<Reading | null> => {
      const reading = await this.#readWhole(digest, { signal: abandoned, onRead, bypassCache: true });
      if (reading?.isIntact === false) this.#suspect(digest);
      return reading;
    };
    return this.#verifications.run(digest.hex, work, signal);
  }

  /** A read of the blob differed: no read of it succeeds until it was read once more. */
  #suspect(digest: Digest): void {
    this.#verified.forget(digest);
    this.#suspects.add(digest.hex);
    // Started at once: the blob must be marked even if no further request is for it. If the store
    // fails meanwhile, the next read tries again.
    this.#readAgain(digest, undefined).catch(() => null);
  }

  #readAgain(digest: Digest, signal: AbortSignal | undefined, onRead?: OnRead): Promise<void> {
    return this.#secondReads.run(digest.hex, (abandoned) => this.#judgeSuspect(digest, abandoned, onRead), signal);
  }

  async #judgeSuspect(digest: Digest, abandoned: AbortSignal, onRead: OnRead | undefined): Promise<void> {
    using admission = this.#admissions.admit("at-once");
    const signal = stoppedBy(admission, abandoned);
    let [reading, commits]: [Reading | null, number] = [null, 0];
    do {
      commits = this.#commitsOfSuspects;
      reading = await this.#readWhole(digest, { signal, onRead, bypassCache: true });
      // What was read may have been replaced meanwhile, which a store without identities hides.
    } while (commits !== this.#commitsOfSuspects && reading?.isIntact === false);
    if (reading?.isIntact === false) {
      const what = `${digest.toString()} ${describeDamage(reading.damage)}`;
      this.#log(`a stored file is damaged and is no longer served: ${what}. Upload it again`);
      if (!this.#marks.has(digest, reading.damage.identity)) await this.#events?.damaged(digest, reading.damage);
      await this.#marks.add(digest, reading.damage);
    } else if (reading !== null) {
      this.#log(`a read of ${digest.toString()} differed from the stored bytes, which are right: it is sent again`);
    }
    this.#suspects.delete(digest.hex);
  }

  async #readWhole(digest: Digest, options: WholeReadOptions): Promise<Reading | null> {
    const reading = await readWhole(this.#store, digest, options);
    if (reading?.isIntact === true) this.#remember(digest, reading.identity);
    return reading;
  }
}
