/** What a store needs to know to make a URL for direct reading. */
export interface PresignOptions {
  /** The longest validity of the URL in seconds: 1 to 604,800 (a week). */
  readonly lifetime: number;
  /** What the responses state about the blob, whatever metadata the store itself has. */
  readonly says: BlobSayings;
}

/** Values of response fields about a blob. */
export interface BlobSayings {
  readonly contentType: string;
  readonly contentDisposition?: string;
  readonly cacheControl?: string;
}

/**
 * A URL that grants its bearer read access to one blob for a while. It is a secret: given to one
 * client, never logged.
 */
export interface PresignedUrl {
  readonly url: string;
  /** The end of its validity. */
  readonly expires: Date;
}
