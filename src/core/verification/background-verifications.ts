import { Pacer } from "../../base/pacer.ts";
import { Semaphore } from "../../base/semaphore.ts";
import { SingleFlight } from "../../base/single-flight.ts";
import { type Admissions, stoppedBy } from "../admissions.ts";
import type { Digest } from "../digest.ts";
import type { OnRead, Reading } from "./whole-reads.ts";

/** How many blobs are verified at a time: for claims, and after ranges of large blobs were read. */
const CONCURRENCY = { claim: 2, range: 1 } as const;

/** Blobs that wait for their verification, in each queue. */
const QUEUE_MAX = 64;

/** The rate at which one blob is read, on average, so that readers are served first. */
export const BACKGROUND_BYTES_PER_SECOND: number = 128 * 1024 ** 2;

/** Verifies a blob. */
type Verify = (digest: Digest, signal: AbortSignal, onRead: OnRead) => Promise<Reading | null>;

/** Verifications that no response waits for to its end. Closing the service ends them. */
export class BackgroundVerifications {
  readonly #admissions: Admissions;
  readonly #verify: Verify;
  readonly #running = new SingleFlight<Reading | null>();
  readonly #queues = { claim: new Semaphore(CONCURRENCY.claim), range: new Semaphore(CONCURRENCY.range) };

  constructor(admissions: Admissions, verify: Verify) {
    this.#admissions = admissions;
    this.#verify = verify;
  }

  /**
   * Verifies a blob when it is its turn, once for all that ask meanwhile. Never rejects: the result
   * is `null` if the queue is full or the verification fails, as for a blob that is absent.
   */
  async run(digest: Digest, queue: keyof typeof CONCURRENCY): Promise<Reading | null> {
    const key = `${queue} ${digest.hex}`;
    const turns = this.#queues[queue];
    if (turns.waiting >= QUEUE_MAX && !this.#running.has(key)) return null;
    const work = async (): Promise<Reading | null> => {
      using admission = this.#admissions.admit("at-once");
      const stopped = stoppedBy(admission);
      using _ = await turns.acquire(1, stopped);
      const pacer = new Pacer(BACKGROUND_BYTES_PER_SECOND);
      return await this.#verify(digest, stopped, (bytes, signal) => pacer.pass(bytes, signal));
    };
    return await this.#running.run(key, work).catch(() => null);
  }
}
