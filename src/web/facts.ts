/** What the server has told the page about itself. */
export interface Facts {
  /** The collection, absolute. */
  readonly endpoint: string;
  /** Bytes. */
  readonly maxSize: number;
  /** The same for people. */
  readonly maxSizeText: string;
  readonly needsToken: boolean;
}

/** Reads what stands at the page's body: its policy allows no script in it. */
export function readFacts({ dataset }: HTMLElement): Facts {
  const { uploads = "/uploads", maxSize = "", maxSizeText = "", needsToken } = dataset;
  return {
    endpoint: new URL(uploads, location.href).href,
    maxSize: Number(maxSize),
    maxSizeText,
    needsToken: needsToken === "true",
  };
}
