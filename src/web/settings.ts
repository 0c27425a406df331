/** What the server has written into the page about itself. */
export interface PageSettings {
  /** The collection, absolute. */
  readonly endpoint: string;
  /** Bytes. */
  readonly maxSize: number;
  readonly needsToken: boolean;
  /** Whether the server tells that content was stored already, and then needs none of it. */
  readonly revealsExisting: boolean;
}

/**
 * Reads the attributes of the page's body. The page's policy allows no script with values in it.
 */
export function readSettings({ dataset }: HTMLElement): PageSettings {
  const { uploads = "/uploads", maxSize = "", needsToken, revealsExisting } = dataset;
  return {
    endpoint: new URL(uploads, location.href).href,
    maxSize: Number(maxSize),
    needsToken: needsToken === "true",
    revealsExisting: revealsExisting === "true",
  };
}
