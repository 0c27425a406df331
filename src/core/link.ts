import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { mediaTypeOf } from "./media-type.ts";

const LINK = /^([0-9a-f]{64})(?:\.([A-Za-z0-9]{1,16}))?$/;
const EXTENSION = /^[a-z0-9]{1,16}$/;

/** A lower-cased extension, or `null` if it is not 1 to 16 of `[a-z0-9]` then. */
export function cleanExtension(extension: string | null): string | null {
  const lower = extension?.toLowerCase() ?? null;
  return lower !== null && EXTENSION.test(lower) ? lower : null;
}

/**
 * The last segment of a permanent link, `<digest>[.<extension>]`. The extension is a view of the
 * blob and not part of its name: it decides the media type and nothing else, so all links of one
 * digest serve the same bytes.
 */
export class Link {
  /** The SHA-256 of the bytes that the link leads to. */
  readonly digest: Digest;
  /** 1 to 16 of `[a-z0-9]`, or `null`. */
  readonly extension: string | null;

  private constructor(digest: Digest, extension: string | null) {
    this.digest = digest;
    this.extension = extension;
  }

  /**
   * A link to `digest`. An extension that is not 1 to 16 of `[a-z0-9]` once lower-cased is dropped.
   */
  static to(digest: Digest, extension: string | null = null): Link {
    return new Link(digest, cleanExtension(extension));
  }

  /** Parses the last segment of a link; `null` for anything else. */
  static fromSegment(segment: string): Link | null {
    const match = LINK.exec(segment);
    const digest = match?.[1] === undefined ? null : Digest.fromHex(match[1]);
    return digest === null ? null : new Link(digest, match?.[2]?.toLowerCase() ?? null);
  }

  /**
   * Parses the last segment of a link.
   *
   * @throws FixityError `invalid-link`
   */
  static parse(segment: string): Link {
    const link = Link.fromSegment(segment);
    if (link !== null) return link;
    throw new FixityError(
      "invalid-link",
      "A link is 64 lower-case hex digits, optionally with a dot and an extension.",
    );
  }

  /**
   * The media type of the extension. The type served also depends on the setting `scripts`
   * (`http/active-content.ts`).
   */
  get mediaType(): string {
    return mediaTypeOf(this.extension);
  }

  /** `<digest>[.<extension>]`. */
  toString(): string {
    return this.extension === null ? this.digest.hex : `${this.digest.hex}.${this.extension}`;
  }
}

/** The result of a completed upload. */
export interface Receipt {
  /** The permanent link, without the prefix of the service. */
  readonly link: Link;
  /** The permanent link as a URL: relative, or absolute if the service has a `publicUrl`. */
  readonly url: string;
  /** The SHA-256 of the bytes. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /**
   * The media type of the link's extension. Handlers serve code as plain text unless their option
   * `scripts` is set.
   */
  readonly type: string;
  /** The file's own name, cleaned, or `null`. */
  readonly name: string | null;
  /** The value of an `integrity` attribute. */
  readonly integrity: string;
  /** The content was already stored. */
  readonly existed: boolean;
}

/**
 * Makes a receipt.
 *
 * @param linkBase the URL in front of a link's last segment
 */
export function receiptOf(
  linkBase: string,
  { link, size, name, existed }: Pick<Receipt, "link" | "size" | "name" | "existed">,
): Receipt {
  const { digest, mediaType } = link;
  const url = linkBase + link.toString();
  return { link, url, digest, size, type: mediaType, name, integrity: digest.integrity, existed };
}
