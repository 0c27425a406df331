import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { mediaTypeOf } from "./media-type.ts";

const LINK = /^([0-9a-f]{64})(?:\.([A-Za-z0-9]{1,16}))?$/;
const EXTENSION = /^[a-z0-9]{1,16}$/;

/** An extension as links have it: lower-cased, or `null` where it is not 1 to 16 of `[a-z0-9]`. */
export function cleanExtension(extension: string | null): string | null {
  const lower = extension?.toLowerCase() ?? null;
  return lower !== null && EXTENSION.test(lower) ? lower : null;
}

/**
 * A permanent link's last segment, `<digest>[.<extension>]`. The extension is a view of the blob, not a part of its
 * name: it decides the media type and nothing else, so all links of one digest give the same bytes.
 */
export class Link {
  readonly digest: Digest;
  /** 1 to 16 of `[a-z0-9]`, or `null`. */
  readonly extension: string | null;

  private constructor(digest: Digest, extension: string | null) {
    this.digest = digest;
    this.extension = extension;
  }

  /** A link to `digest`; an extension that is not 1 to 16 of `[a-z0-9]` once lower-cased is dropped. */
  static to(digest: Digest, extension: string | null = null): Link {
    return new Link(digest, cleanExtension(extension));
  }

  /** Reads a link's last segment; `null` for anything else. */
  static fromSegment(segment: string): Link | null {
    const match = LINK.exec(segment);
    const digest = match?.[1] === undefined ? null : Digest.fromHex(match[1]);
    return digest === null ? null : new Link(digest, match?.[2]?.toLowerCase() ?? null);
  }

  /**
   * Reads a link's last segment.
   *
   * @throws FixityError `invalid-link`
   */
  static parse(segment: string): Link {
    const link = Link.fromSegment(segment);
    if (link !== null) return link;
    throw new FixityError("invalid-link", "A link is 64 lower-case hex digits, then perhaps a dot and an extension.");
  }

  /** The media type of the extension. What a link is served with also depends on the setting `scripts` (`http/active-content.ts`). */
  get mediaType(): string {
    return mediaTypeOf(this.extension);
  }

  /** `<digest>[.<extension>]`. */
  toString(): string {
    return this.extension === null ? this.digest.hex : `${this.digest.hex}.${this.extension}`;
  }
}
