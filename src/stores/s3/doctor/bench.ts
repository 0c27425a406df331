import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { delay } from "../../../base/abort-race.ts";
import { type Consequence, holds, type Leftovers, type Outcome, type Probe, restricted } from "../../doctor/examine.ts";
import { S3Client } from "../api/client.ts";
import {
  type ListedMultipartUpload,
  type ListedObject,
  listMultipartUploads,
  listObjects,
  listParts,
} from "../api/listing.ts";
import {
  abortMultipartUpload,
  createMultipartUpload,
  type MultipartId,
  type Part,
  uploadPart,
} from "../api/multipart.ts";
import { deleteObject, headObject, putObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { type Payload, payloadOf, UNSIGNED_PAYLOAD } from "../api/signer.ts";
import { Layout } from "../layout.ts";
import type { ResolvedS3Options } from "../options.ts";
import { MultipartUpload } from "../send/multipart-upload.ts";

/** A probe of a bucket. */
export type BucketProbe = Probe<Bench>;

/** Without it, the bucket cannot be used. */
export function vital(remedy: string): Consequence {
  return { verdict: "failure", remedy };
}

/** Without it, something costs more or is not cleaned up. */
export function wanted(remedy: string): Consequence {
  return { verdict: "warning", remedy };
}

/** Without it, fixity works as well. */
export function welcome(remedy: string): Consequence {
  return { verdict: "note", remedy };
}

/**
 * It holds, perhaps not at once.
 *
 * @param verb what happened late: "shown", "listed", "gone"
 * @param meaning of that for uploads and downloads
 */
export function holdsInTime({ lateMs }: Seen<unknown>, verb: string, meaning: string): Outcome {
  if (lateMs === 0) return holds();
  const seconds = Math.max(lateMs / 1000, 0.1).toFixed(1);
  return restricted(`${verb} ${seconds} s late`, wanted(meaning));
}

/** Prefix of the last part of every probe's key, below the staging area. */
const MARK = "doctor-";

/**
 * Milliseconds after which another doctor's objects are abandoned: far longer than a diagnosis
 * takes.
 */
const ABANDONED_AFTER_MS = 3_600_000;

/** Limits of a diagnosis, for whose result a person waits. */
const TIMEOUTS_MS = { answer: 10_000, idle: 10_000, completion: 60_000 };
const MAX_RETRIES_MS = 15_000;
const MAX_ATTEMPTS = 3;

/**
 * For how long the doctor looks for what it has just made, and for how long once it did so in vain.
 */
const MAX_LATENESS_MS = 15_000;
const MAX_LATENESS_AFTER_FAILURE_MS = 1_000;
const MAX_POLL_MS = 1_000;

const TYPE = "text/plain; charset=utf-8";

/** Bytes of the last part of an upload, for which S3 has no minimum. */
export const LAST_PART_BYTES = 1024;

/**
 * A header field that a bucket's policy can demand for everything that is stored, and that fixity
 * does not send.
 */
export interface DemandedField {
  readonly name: string;
  readonly value: string;
  readonly remedy: string;
}

/** Something that was looked for until it was found. */
export interface Seen<T> {
  readonly found: T;
  /** Milliseconds until then; 0 if the first look found it. */
  readonly lateMs: number;
}

/** The multipart upload that probes build on one after another. */
export interface LargeObject {
  readonly upload: MultipartUpload;
  readonly parts: readonly Part[];
}

/**
 * The part of a bucket that probes work in: it hands out keys, knows what was made, and removes all
 * of it.
 */
export class Bench {
  readonly options: ResolvedS3Options;
  readonly client: S3Client;
  readonly signal: AbortSignal;
  /** Prefix of all keys of this bench. */
  readonly prefix: string;
  /** Set by the probe that sends its parts. */
  large: LargeObject | null = null;
  /** The parts that an upload may have; fewer than the settings state once a probe found that. */
  maxParts: number;
  /** The header fields that the bucket's policy demands; set when storing an object is refused. */
  demanded: Promise<readonly DemandedField[]> | null = null;
  /** A multipart upload that is never completed, begun when the first probe needs it. */
  #unfinished: MultipartId | null = null;
  /** Prefix of the keys of all doctors. */
  readonly #area: string;
  /** Milliseconds for which {@link eventually} looks. */
  readonly #maxLateness: Record<"objects" | "listings", number>;
  /** Milliseconds after which objects appeared or disappeared at the latest. */
  #latenessMs = 0;
  readonly #keys = new Set<string>();
  readonly #multipartUploads: MultipartUpload[] = [];
  /** Keys of what could not be removed. */
  readonly #stuck = new Set<string>();

  /**
   * @param signal prevents retries; requests under way are never cancelled, because S3 may carry
   *   them out unseen
   */
  constructor(given: ResolvedS3Options, signal: AbortSignal = new AbortController().signal) {
    this.signal = signal;
    const retries = Math.min(given.timeouts.retries, MAX_RETRIES_MS);
    this.options = { ...given, attempts: MAX_ATTEMPTS, timeouts: { ...given.timeouts, ...TIMEOUTS_MS, retries } };
    const maxLateness = Math.min(given.timeouts.retries, MAX_LATENESS_MS);
    this.#maxLateness = { objects: maxLateness, listings: maxLateness };
    this.client = new S3Client(this.options);
    this.maxParts = given.maxParts;
    this.#area = new Layout(given.keyPrefix).staging + MARK;
    this.prefix = `${this.#area}${randomBytes(8).toString("hex")}-`;
  }

  /** A key for a probe. What is stored under it is removed at the end. */
  key(name: string): string {
    const key = this.prefix + name;
    this.#keys.add(key);
    return key;
  }

  /** Stores a small object in the way small files are stored. */
  async put(name: string, text: string): Promise<string> {
    const key = this.key(name);
    await putObject(this.client, key, payloadOf(text), { contentType: TYPE, ifAbsent: false });
    return key;
  }

  /**
   * A multipart upload that is to be completed, as for large files: it knows when it may be
   * aborted.
   */
  multipartUpload(name: string): MultipartUpload {
    const key = this.key(name);
    const log = () => void this.#stuck.add(key);
    const upload = new MultipartUpload(this.client, { ...this.options, key, contentType: TYPE, log });
    this.#multipartUploads.push(upload);
    return upload;
  }

  /** A multipart upload with one part. It is never completed, so it may be aborted at any time. */
  async unfinishedUpload(): Promise<MultipartId> {
    if (this.#unfinished !== null) return this.#unfinished;
    this.#unfinished = await createMultipartUpload(this.client, this.key("abandoned"), { contentType: TYPE });
    const payload = this.partPayload(Buffer.alloc(LAST_PART_BYTES, "1"));
    await uploadPart(this.client, this.#unfinished, 1, { payload, signal: this.signal });
    return this.#unfinished;
  }

  /** Aborts the {@link unfinishedUpload}. */
  async abortUnfinished(): Promise<void> {
    if (this.#unfinished !== null) await abortMultipartUpload(this.client, this.#unfinished);
    this.#unfinished = null;
  }

  /** The payload of a part, with the digest that the settings provide for parts. */
  partPayload(bytes: Uint8Array): Payload {
    const payload = payloadOf(bytes);
    return this.options.signParts ? payload : { ...payload, digest: UNSIGNED_PAYLOAD };
  }

  /**
   * Looks for what was just made until it is there: some servers show or list objects seconds after
   * they were stored.
   *
   * @param look returns `null` while it is not there
   * @returns `null` if it was not there within some seconds
   */
  async eventually<T>(where: "objects" | "listings", look: () => Promise<T | null>): Promise<Seen<T> | null> {
    const startedAt = performance.now();
    for (let looks = 0; ; looks += 1) {
      const found = await look();
      const elapsed = performance.now() - startedAt;
      if (found !== null) {
        const lateMs = looks === 0 ? 0 : elapsed;
        if (where === "objects") this.#latenessMs = Math.max(this.#latenessMs, lateMs);
        return { found, lateMs };
      }
      const remaining = this.#maxLateness[where] - elapsed;
      if (remaining <= 0) {
        this.#maxLateness[where] = Math.min(this.#maxLateness[where], MAX_LATENESS_AFTER_FAILURE_MS);
        return null;
      }
      await delay(Math.min(100 * 2 ** looks, MAX_POLL_MS, remaining), this.signal);
    }
  }

  /** Waits for as long as objects were late so far, before a look that should find nothing. */
  async settle(): Promise<void> {
    if (this.#latenessMs > 0) await sleep(1.5 * this.#latenessMs);
  }

  /**
   * Removes everything that was made, and what interrupted doctors left behind. `null` if nothing
   * was made. Does not fail.
   */
  async clear(): Promise<Leftovers | null> {
    if (this.#keys.size === 0) {
      await this.client.destroy();
      return null;
    }
    for (const upload of this.#multipartUploads) await upload.abort(new Error("the doctor ends"));
    const unfinished = this.#unfinished;
    if (unfinished !== null) await this.#tryRemove(unfinished.key, () => this.abortUnfinished());
    for (const key of this.#keys) await this.#tryRemove(key, () => deleteObject(this.client, key));
    await this.settle();
    const { own, swept } = await this.#listLeftovers();
    const left = own ?? new Set(this.#stuck);
    // A listing that lags may not contain them yet.
    if (own !== null) for (const key of this.#stuck) if (await this.#isPresent({ key })) left.add(key);
    await this.client.destroy();
    return { names: [...left].sort(), swept };
  }

  /**
   * Lists what is left of this bench (`null` if listing fails), and removes what is left of
   * abandoned ones.
   */
  async #listLeftovers(): Promise<{ readonly own: Set<string> | null; readonly swept: number }> {
    const own = new Set<string>();
    let swept = 0;
    const visit = async (item: ListedObject | ListedMultipartUpload, time: Date, now: Date | null) => {
      if (item.key.startsWith(this.prefix)) {
        if (await this.#isPresent(item)) own.add(item.key);
      } else if ((now ?? new Date()).getTime() - time.getTime() > ABANDONED_AFTER_MS) {
        swept += (await this.#sweep(item)) ? 1 : 0;
      }
    };
    try {
      for await (const { items, now } of listMultipartUploads(this.client, this.#area)) {
        for (const item of items) await visit(item, item.initiated, now);
      }
      for await (const { items, now } of listObjects(this.client, this.#area)) {
        for (const item of items) await visit(item, item.modified, now);
      }
      return { own, swept };
    } catch {
      return { own: null, swept };
    }
  }

  /** Whether it really exists: a listing that lags still contains what was removed. */
  async #isPresent({ key, uploadId }: { readonly key: string; readonly uploadId?: string }): Promise<boolean> {
    try {
      if (uploadId === undefined) return (await headObject(this.client, key)) !== null;
      await listParts(this.client, { key, uploadId }).next();
      return true;
    } catch (error) {
      if (error instanceof S3Error) return !failedWith(error, 404);
      throw error;
    }
  }

  async #sweep(item: ListedObject | ListedMultipartUpload): Promise<boolean> {
    return this.#tryRemove(item.key, () =>
      "uploadId" in item ? abortMultipartUpload(this.client, item) : deleteObject(this.client, item.key),
    );
  }

  async #tryRemove(key: string, remove: () => Promise<unknown>): Promise<boolean> {
    try {
      await remove();
      return true;
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      this.#stuck.add(key);
      return false;
    }
  }
}
