import type { Owner } from "../access/principal.ts";
import { asFixityError } from "./errors.ts";
import type { Receipt } from "./link.ts";

/** What `onStored` receives besides the receipt. */
export interface StoredDetails<Context = unknown> {
  /** The principal that uploaded the file; of a resumable upload, the one that created it. */
  readonly owner: Owner;
  /**
   * What the embedder knows about the request that completes the upload; `null` if no request does:
   * after a crash another instance or a collection completes it.
   */
  readonly context: Context | null;
  /** What the embedder kept when the upload was created; `null` for nothing. */
  readonly kept: unknown;
  /**
   * The same for every call about one upload, so that a call can be made idempotent: the id of a
   * resumable upload, otherwise that of the request.
   */
  readonly key: string;
}

/** The calls of a service to the app that embeds it. */
export interface HookOptions<Context = unknown> {
  /**
   * Called for every upload that is about to be acknowledged, also if its content was stored
   * before, once the file is durable. If it fails, so does the request, with its error if that is a
   * `FixityError`. The file stays stored, and a repeated upload calls it again: it must be
   * idempotent, by `details.key` for example.
   *
   * A resumable upload is complete only once the call has succeeded. Until then the upload keeps
   * its full offset, and a request to it calls again, even after the process was killed. The
   * upload of a single request cannot be resumed, so if the process is killed between the moment
   * when the file is durable and the response, the call may not have happened. The client has no
   * response then, and uploads again.
   */
  onStored?(receipt: Receipt, details: StoredDetails<Context>): Promise<void> | void;
}

/** An upload that was stored. */
export interface StoredUpload {
  readonly owner: Owner;
  readonly context: unknown;
  /** JSON. */
  readonly kept: string | null;
  readonly key: string;
}

/** The hooks of one service. */
export class Hooks {
  readonly #options: HookOptions;

  constructor(options: HookOptions) {
    this.#options = options;
  }

  /** Whether uploads have to wait for {@link stored}. */
  get hasOnStored(): boolean {
    return this.#options.onStored !== undefined;
  }

  /**
   * Calls `onStored`.
   *
   * @param receipt the true one, whatever the caller is told about existing content
   * @throws FixityError the failure of the hook
   */
  async stored(receipt: Receipt, { owner, context, kept, key }: StoredUpload): Promise<void> {
    if (!this.hasOnStored) return;
    try {
      const details = { owner, context: context ?? null, kept: kept === null ? null : JSON.parse(kept), key };
      await this.#options.onStored?.(receipt, details);
    } catch (error) {
      throw asFixityError(error);
    }
  }
}
