import { delay } from "../../../base/abort-race.ts";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Leftovers } from "../../doctor/examine.ts";
import type { Payload } from "../api/signer.ts";
import { S3Client } from "../api/client.ts";
import { Layout } from "../layout.ts";
import {
  type ListedObject,
  type ListedMultipartUpload,
  listObjects,
  listParts,
  listMultipartUploads,
} from "../api/listing.ts";
import { MultipartUpload } from "../send/multipart-upload.ts";
import {
  abortMultipartUpload,
  createMultipartUpload,
  type Part,
  uploadPart,
  type MultipartId,
} from "../api/multipart.ts";
import { deleteObject, headObject, putObject } from "../api/objects.ts";
import type { ResolvedS3Options } from "../options.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import { sha256Hex, UNSIGNED_PAYLOAD } from "../api/signer.ts";

/** What the last part of every probe's key begins with, below the staging area. */
const MARK = "doctor-";

/** Milliseconds after which what another doctor has left is nobody's any more: far longer than one works. */
const FORGOTTEN_AFTER = 3_600_000;

/** Limits for a doctor, whose result a person waits for: milliseconds, and attempts. */
const TIMEOUTS_MS = { answer: 10_000, idle: 10_000, completion: 60_000 };
const MAX_RETRIES_MS = 15_000;
const ATTEMPTS = 3;

/** How long the doctor looks for what it has just made, and how long once it has done so in vain. */
const MAX_LATENESS_MS = 15_000;
const LATENESS_AFTER_FAILURE_MS = 1_000;
const MAX_PAUSE_MS = 1_000;

const TYPE = "text/plain; charset=utf-8";

/** A header field that the policy of a bucket can demand with everything that is stored, and that fixity does not send. */
export interface DemandedField {
  readonly name: string;
  readonly value: string;
  readonly remedy: string;
}

/** Bytes of the last part of an upload, which may have as few as one likes. */
export const LAST_PART = 1024;

/** Something that was looked for until it was found. */
export interface Seen<T> {
  readonly found: T;
  /** Milliseconds until then; 0 where the first look has found it. */
  readonly lateMs: number;
}

/** A large object on its way, from one probe to the next. */
export interface Large {
  readonly upload: MultipartUpload;
  readonly parts: readonly Part[];
}

/** The part of a bucket that probes are made in: it hands out keys, knows what was made, and clears it all away. */
export class Bench {
  readonly options: ResolvedS3Options;
  readonly client: S3Client;
  readonly signal: AbortSignal;
  /** What all keys of this bench begin with. */
  readonly prefix: string;
  /** Set by the probe that sends it. */
  large: Large | null = null;
  /** A multipart upload that is never completed; set when the first probe needs it. */
  loose: MultipartId | null = null;
  /** As many parts an upload may have; fewer than the settings say where a probe has found that. */
  mostParts: number;
  /** The header fields that the bucket's policy demands; set when something is refused that stores an object. */
  demanded: Promise<readonly DemandedField[]> | null = null;
  readonly #area: string;
  /** Milliseconds for which {@link eventually} looks. */
  readonly #maxLateness: Record<"objects" | "listings", number>;
  /** Milliseconds after which objects appeared, or disappeared, at the latest. */
  #latenessMs = 0;
  readonly #keys = new Set<string>();
  readonly #transfers: MultipartUpload[] = [];
  readonly #resisting = new Set<string>();

  /** @param signal keeps requests from being sent again; what is under way is never cut off, lest it happen unseen */
  constructor(given: ResolvedS3Options, signal: AbortSignal = new AbortController().signal) {
    this.signal = signal;
    const retries = Math.min(given.timeouts.retries, MAX_RETRIES_MS);
    this.options = { ...given, attempts: ATTEMPTS, timeouts: { ...given.timeouts, ...TIMEOUTS_MS, retries } };
    const latest = Math.min(given.timeouts.retries, MAX_LATENESS_MS);
    this.#maxLateness = { objects: latest, listings: latest };
    this.client = new S3Client(this.options);
    this.mostParts = given.maxParts;
    this.#area = new Layout(given.keyPrefix).staging + MARK;
    this.prefix = `${this.#area}${randomBytes(8).toString("hex")}-`;
  }

  /** A key for a probe. What is stored under it is removed in the end. */
  key(name: string): string {
    const key = this.prefix + name;
    this.#keys.add(key);
    return key;
  }

  /** Stores a small object as small files are stored. */
  async put(name: string, text: string): Promise<string> {
    const key = this.key(name);
    await putObject(this.client, key, payloadOf(text), { contentType: TYPE, ifAbsent: false });
    return key;
  }

  /** Begins a multipart upload that is to be completed, as large files are sent: it knows when it may be aborted. */
  transfer(name: string): MultipartUpload {
    const key = this.key(name);
    const log = () => void this.#resisting.add(key);
    const upload = new MultipartUpload(this.client, { ...this.options, key, contentType: TYPE, log });
    this.#transfers.push(upload);
    return upload;
  }

  /** The {@link loose} upload, begun with one part. It is never completed, so that it may be aborted at any time. */
  async looseUpload(): Promise<MultipartId> {
    if (this.loose !== null) return this.loose;
    this.loose = await createMultipartUpload(this.client, this.key("abandoned"), { contentType: TYPE });
    const payload = this.partOf(Buffer.alloc(LAST_PART, "1"));
    await uploadPart(this.client, this.loose, 1, { payload, signal: this.signal });
    return this.loose;
  }

  /** Aborts the {@link loose} upload. */
  async abortLoose(): Promise<void> {
    if (this.loose !== null) await abortMultipartUpload(this.client, this.loose);
    this.loose = null;
  }

  /**
   * Looks for what was just made until it is there: some servers show objects, or list them, seconds after they were stored.
   *
   * @param look `null` while it is not there
   * @returns `null` if it was not there within some seconds
   */
  async eventually<T>(where: "objects" | "listings", look: () => Promise<T | null>): Promise<Seen<T> | null> {
    const begun = performance.now();
    for (let looks = 0; ; looks += 1) {
      const found = await look();
      const elapsed = performance.now() - begun;
      if (found !== null) {
        const lateMs = looks === 0 ? 0 : elapsed;
        if (where === "objects") this.#latenessMs = Math.max(this.#latenessMs, lateMs);
        return { found, lateMs };
      }
      const left = this.#maxLateness[where] - elapsed;
      if (left <= 0) {
        this.#maxLateness[where] = Math.min(this.#maxLateness[where], LATENESS_AFTER_FAILURE_MS);
        return null;
      }
      await delay(Math.min(100 * 2 ** looks, MAX_PAUSE_MS, left), this.signal);
    }
  }

  /** Waits as long as objects have been late so far, before a look whose result is to be that there is none. */
  async settle(): Promise<void> {
    if (this.#latenessMs > 0) await sleep(1.5 * this.#latenessMs);
  }

  /** A payload for a part, with the digest that parts are sent with. */
  partOf(bytes: Uint8Array): Payload {
    const digest = this.options.signParts ? sha256Hex([bytes]) : UNSIGNED_PAYLOAD;
    return { chunks: [bytes], length: bytes.length, digest };
  }

  /** Removes everything that was made, and what forgotten doctors have left; `null` where nothing was made. Does not fail. */
  async clear(): Promise<Leftovers | null> {
    if (this.#keys.size === 0) {
      await this.client.destroy();
      return null;
    }
    for (const upload of this.#transfers) await upload.abort(new Error("the doctor ends"));
    if (this.loose !== null) await this.#attempt(this.loose.key, () => this.abortLoose());
    for (const key of this.#keys) await this.#attempt(key, () => deleteObject(this.client, key));
    await this.settle();
    const { found, swept } = await this.#look();
    const left = found ?? new Set(this.#resisting);
    // A listing that lags may not have them yet.
    if (found !== null) for (const key of this.#resisting) if (await this.#isLeft({ key })) left.add(key);
    await this.client.destroy();
    return { names: [...left].sort(), swept };
  }

  /** What of this bench is still there, `null` where that cannot be listed. */
  async #look(): Promise<{ readonly found: Set<string> | null; readonly swept: number }> {
    const found = new Set<string>();
    let swept = 0;
    const sort = async (item: ListedObject | ListedMultipartUpload, time: Date, now: Date | null) => {
      if (item.key.startsWith(this.prefix)) {
        if (await this.#isLeft(item)) found.add(item.key);
      } else if ((now ?? new Date()).getTime() - time.getTime() > FORGOTTEN_AFTER) swept += await this.#sweep(item);
    };
    try {
      for await (const { items, now } of listMultipartUploads(this.client, this.#area)) {
        for (const item of items) await sort(item, item.initiated, now);
      }
      for await (const { items, now } of listObjects(this.client, this.#area)) {
        for (const item of items) await sort(item, item.modified, now);
      }
      return { found, swept };
    } catch {
      return { found: null, swept };
    }
  }

  /** Whether something is really there: a listing that lags still has what was removed. */
  async #isLeft(item: { readonly key: string; readonly uploadId?: string }): Promise<boolean> {
    const { key, uploadId } = item;
    try {
      if (uploadId === undefined) return (await headObject(this.client, key)) !== null;
      await listParts(this.client, { key, uploadId }).next();
      return true;
    } catch (error) {
      if (error instanceof S3Error) return !failedWith(error, 404);
      throw error;
    }
  }

  async #sweep(item: ListedObject | ListedMultipartUpload): Promise<number> {
    const remove = () =>
      "uploadId" in item ? abortMultipartUpload(this.client, item) : deleteObject(this.client, item.key);
    return (await this.#attempt(item.key, remove)) ? 1 : 0;
  }

  async #attempt(key: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      this.#resisting.add(key);
      return false;
    }
  }
}

/** The payload of a small object, with its digest. */
export function payloadOf(text: string): Payload {
  const bytes = Buffer.from(text);
  return { chunks: [bytes], length: bytes.length, digest: sha256Hex([bytes]) };
}
