import type { Digest } from "../../core/digest.ts";
import type { Answer, Exchange } from "../exchange.ts";

/** Somebody else who sends the bytes of blobs, and how a request is passed on to them. */
export interface Delegate {
  /**
   * Whether a `GET` gets there what it would get from us. What does not is left to us: nobody is to notice who it is that
   * answers.
   *
   * @param etag of the blob asked for
   */
  takes(exchange: Exchange, etag: string): boolean;

  /** The answer that passes the request for a blob on; the blob is there. */
  pass(blob: PassedBlob, exchange: Exchange): Promise<Answer>;

  /** The origin at which a browser then gets the blob, or `null` where that is ours: a page that shows it has to allow that. */
  origin(digest: Digest): Promise<string | null>;
}

/** A blob that somebody else is to send. */
export interface PassedBlob {
  readonly digest: Digest;
  /** The fields that our own answer would have, but for length and range. */
  readonly fields: Readonly<Record<string, string>>;
}
