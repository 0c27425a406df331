/** What a store needs to know to make a URL for direct reading. */
export interface PresignOptions {
  /** The longest validity of the URL in seconds: 1 to 604,800 (a week). */
  readonly lifetime: number;
  /** Fields of the responses, which take precedence over the metadata of the stored object. */
  readonly responseFields: BlobResponseFields;
}

/** The values of response fields that describe a blob. */
export interface BlobResponseFields {
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
