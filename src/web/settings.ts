/** What the server has written into the page about itself. */
export interface PageSettings {
  /** The collection, absolute. */
  readonly endpoint: string;
  /** Bytes. */
  readonly maxSize: number;
  /** The same, formatted by the server. */
  readonly maxSizeText: string;
  readonly needsToken: boolean;
}

/**
 * Reads the attributes of the page's body. The page's policy allows no script with values in it.
 */
export function readSettings({ dataset }: HTMLElement): PageSettings {
  const { uploads = "/uploads", maxSize = "", maxSizeText = "", needsToken } = dataset;
  return {
    endpoint: new URL(uploads, location.href).href,
    maxSize: Number(maxSize),
    maxSizeText,
    needsToken: needsToken === "true",
  };
}
