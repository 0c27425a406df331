import { FixityError } from "../../core/errors.ts";

const MAX_LENGTH = 8 * 1024;

/**
 * Reads tus's `Upload-Metadata`: keys with base64 values behind a space, with commas between the pairs ("Creation").
 *
 * @returns values as bytes by key, in UTF-8 as a rule
 * @throws FixityError `invalid-field`
 */
export function parseUploadMetadata(text: string | undefined): ReadonlyMap<string, Buffer> {
  const metadata = new Map<string, Buffer>();
  if (text === undefined || text.trim() === "") return metadata;
  if (text.length > MAX_LENGTH) throw invalid(`may have ${MAX_LENGTH} characters at most`);
  for (const piece of text.split(",")) {
    const [, key = "", value = ""] = /^ *([\x21-\x2b\x2d-\x7e]+)(?: ([A-Za-z0-9+/]*={0,2}))? *$/.exec(piece) ?? [];
    // "The key MUST NOT contain spaces and commas and MUST NOT be empty […] the value MUST be Base64 encoded."
    if (key === "") throw invalid("is made of keys with base64 values behind a space, with commas between them");
    if (metadata.has(key)) throw invalid("holds a key twice");
    metadata.set(key, Buffer.from(value, "base64"));
  }
  return metadata;
}

/** The first of these keys that there is, as text; `null` where there is none, or an empty one. */
export function textIn(metadata: ReadonlyMap<string, Buffer>, ...keys: readonly string[]): string | null {
  for (const key of keys) {
    const value = metadata.get(key);
    if (value !== undefined && value.length > 0) return value.toString("utf8");
  }
  return null;
}

function invalid(what: string): FixityError {
  return new FixityError("invalid-field", `Upload-Metadata ${what}.`);
}
