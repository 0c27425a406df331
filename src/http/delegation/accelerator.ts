import type { Digest } from "../../core/digest.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { ifRangeHolds } from "../fields/if-range.ts";
import { isPlainRange } from "../fields/range.ts";
import type { Delegate, PassedBlob } from "./delegate.ts";
import type { Presigner } from "./redirector.ts";

/** A store whose files another program can read. */
export type FileKeeper = Required<Pick<BlobStore, "filePath">>;

/** Where the server in front finds a blob below its internal location, for an answer of this content type. */
export type Locator = (digest: Digest, contentType: string) => Promise<string> | string;

/** Seconds that a URL for the server in front holds: it is used at once. */
const LIFETIME = 60;

/** The field's values: nginx adds the parameter, because it keeps the Cache-Control of a response with `X-Accel-Redirect`. */
const WANTED = /^x-accel-redirect(?:\s*;\s*keeps-cache-control)?$/i;

/** Conditions that a file server judges by tags and dates of its own. */
const FOREIGN_CONDITIONS = ["if-match", "if-modified-since", "if-unmodified-since"];

/** Lets the server in front send the bytes: `X-Accel-Redirect`, as nginx has it, and no content. */
export class Accelerator implements Delegate {
  readonly #location: string;
  readonly #locate: Locator;

  /** @param location without a slash at its end */
  constructor(location: string, locate: Locator) {
    this.#location = location;
    this.#locate = locate;
  }

  /**
   * Only where the server in front asks for it (the field is Rack's): whoever comes by another way gets the bytes from us,
   * and not an empty file that is good for ever.
   */
  takes({ fields }: Exchange, etag: string): boolean {
    if (!WANTED.test(fields.get("x-sendfile-type") ?? "")) return false;
    if (FOREIGN_CONDITIONS.some((name) => fields.get(name) !== undefined)) return false;
    const range = fields.get("range");
    if (range === undefined) return true;
    const ifRange = fields.get("if-range");
    return isPlainRange(range) && (ifRange === undefined || ifRangeHolds(ifRange, etag));
  }

  async pass({ digest, fields }: PassedBlob, exchange: Exchange): Promise<Answer> {
    const keepsCacheControl = /;\s*keeps-cache-control\b/i.test(exchange.fields.get("x-sendfile-type") ?? "");
    const { "Accept-Ranges": _, "Cache-Control": cacheControl = "", Vary: vary, ...others } = fields;
    return {
      status: 200,
      fields: {
        ...others,
        // This response has no content: a cache that takes it for the file in spite of Vary must not keep it.
        ...(!keepsCacheControl && { "Cache-Control": "no-store" }),
        // The file's own, which the server in front sets on success only. In Cache-Control, nginx would hand it on with an
        // error of its own as well, and its 404 for a wrong folder would be kept for a year.
        "X-Blob-Cache-Control": cacheControl,
        "X-Accel-Redirect": `${this.#location}/${await this.#locate(digest, fields["Content-Type"] ?? "")}`,
        Vary: vary === undefined ? "X-Sendfile-Type" : `X-Sendfile-Type, ${vary}`,
      },
    };
  }

  /** The client notices nothing. */
  async origin(): Promise<null> {
    return null;
  }
}

/** For an internal location that is the store's folder. */
export function pathOfFile(store: FileKeeper, digest: Digest): string {
  return store.filePath(digest).split("/").map(encodeURIComponent).join("/");
}

/** For an internal location that passes requests to the store: path and query of a presigned URL. */
export async function pathOfUrl(store: Presigner, digest: Digest, contentType: string): Promise<string> {
  const { url } = await store.presign(digest, { lifetime: LIFETIME, says: { contentType } });
  const { pathname, search } = new URL(url);
  return pathname.slice(1) + search;
}
