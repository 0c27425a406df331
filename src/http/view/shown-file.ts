import { percentEncode } from "../../base/percent-encode.ts";
import type { Link } from "../../core/link.ts";

/** The file that a page is about. */
export interface ShownFile {
  readonly link: Link;
  /** The media type that the link is served with. */
  readonly mediaType: string;
  /** The link as it is given to clients, relative or absolute, without a query. */
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** The file's name, cleaned, or `null`: nothing but the address of the page may know it. */
  readonly name: string | null;
}

/** What a page calls the file: its name, or the beginning of its digest. */
export function labelOf({ name, link }: ShownFile): string {
  if (name !== null) return name;
  const short = `${link.digest.hex.slice(0, 12)}…`;
  return link.extension === null ? short : `${short}.${link.extension}`;
}

/** The query of a link that gives a download the file's name; empty where there is none. */
export function nameQuery({ name }: ShownFile): string {
  return name === null ? "" : `?filename=${percentEncode(name)}`;
}
