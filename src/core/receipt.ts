import type { Digest } from "./digest.ts";
import type { Link } from "./link.ts";

/** What is known of a file that was stored. */
export interface Receipt {
  readonly link: Link;
  /** The permanent link as a URL: relative, or absolute where the service has a `publicUrl`. */
  readonly url: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The media type of the link's extension. Handlers serve code as plain text unless their option `scripts` is set. */
  readonly type: string;
  /** The file's own name, cleaned, or `null`. */
  readonly name: string | null;
  /** For an `integrity` attribute. */
  readonly integrity: string;
  /** The content was stored already. */
  readonly existed: boolean;
}

/** What a receipt is made of, besides what follows from it. */
export interface ReceiptFacts {
  readonly link: Link;
  readonly size: number;
  readonly name: string | null;
  readonly existed: boolean;
}

/** @param linkBase what stands in front of a link's last segment */
export function receiptOf(linkBase: string, { link, size, name, existed }: ReceiptFacts): Receipt {
  const { digest, mediaType } = link;
  const url = linkBase + link.toString();
  return { link, url, digest, size, type: mediaType, name, integrity: digest.integrity, existed };
}
