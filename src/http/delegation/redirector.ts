import type { Digest } from "../../core/digest.ts";
import { OCTET_STREAM } from "../../core/media-type.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { ifRangeHolds } from "../fields/if-range.ts";
import { isPlainRange } from "../fields/range.ts";
import type { Delegate, PassedBlob } from "./delegate.ts";

/** A store that clients can be sent to. */
export type Presigner = Required<Pick<BlobStore, "presign">>;

/** Sends clients to the store: `307`, with a presigned URL that holds for a while. */
export class Redirector implements Delegate {
  readonly #store: Presigner;
  readonly #lifetime: number;

  /** @param lifetime seconds */
  constructor(store: Presigner, lifetime: number) {
    this.#store = store;
    this.#lifetime = lifetime;
  }

  /** The client repeats its request there, with all conditions; the store knows its own entity tags, not ours. */
  takes({ fields }: Exchange, etag: string): boolean {
    if (fields.get("if-match") !== undefined) return false;
    const range = fields.get("range");
    if (range === undefined) return true;
    const ifRange = fields.get("if-range");
    // a tag that is not ours may be the store's, of an earlier part of this very download
    return ifRange === undefined ? isPlainRange(range) : !ifRangeHolds(ifRange, etag);
  }

  async pass({ digest, fields }: PassedBlob): Promise<Answer> {
    const contentDisposition = fields["Content-Disposition"];
    const says = {
      contentType: fields["Content-Type"] ?? "",
      ...(contentDisposition !== undefined && { contentDisposition }),
      // the bytes are good for ever, but nobody asks for them under this URL once it has ended
      cacheControl: `private, max-age=${this.#lifetime}, immutable`,
    };
    const { url, expires } = await this.#store.presign(digest, { lifetime: this.#lifetime, says });
    const left = Math.max(0, (expires.getTime() - Date.now()) / 1000);
    return {
      status: 307,
      fields: {
        Location: url,
        // Kept for half the time that is left, so that a URL taken from a cache has as much before it, clocks that differ
        // included. Private, since the URL lets in whoever has it, and a shared cache does not ask `authorize`.
        "Cache-Control": `private, max-age=${Math.floor(left / 2)}`,
        ...(fields["Vary"] !== undefined && { Vary: fields["Vary"] }),
      },
    };
  }

  async origin(digest: Digest): Promise<string> {
    const { url } = await this.#store.presign(digest, {
      lifetime: this.#lifetime,
      says: { contentType: OCTET_STREAM },
    });
    return new URL(url).origin;
  }
}
