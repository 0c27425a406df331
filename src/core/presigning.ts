/** What a store is told that is to let anybody read a blob directly. */
export interface PresignOptions {
  /** Seconds for which the URL may hold, at most; 1 to 604,800 (a week). */
  readonly lifetime: number;
  /** What the answers under the URL say of the blob, whatever the store itself knows of it. */
  readonly says: BlobSayings;
}

/** What an answer says of the blob in it, as header fields hold it. */
export interface BlobSayings {
  readonly contentType: string;
  readonly contentDisposition?: string;
  readonly cacheControl?: string;
}

/** A URL that lets whoever has it read one blob for a while: a secret, which is given to who asks and never logged. */
export interface PresignedUrl {
  readonly url: string;
  /** When it stops to hold. */
  readonly expires: Date;
}
