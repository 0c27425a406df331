import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { systemErrorCode } from "../base/system-errors.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Link } from "../core/link.ts";
import { DIGEST_PREFIXES } from "../core/verification/verification-passes.ts";
import { fileErrorText } from "./local-files.ts";

/**
 * The digest in a name for a blob: its digest, its link, or the URL of its link.
 *
 * @throws FixityError `invalid-digest`
 */
export function parseBlobName(name: string): Digest {
  const segment = name
    .replace(/[?#].*$/, "")
    .replace(/^.*\//, "")
    .replace(/^sha256:/, "");
  try {
    return Link.parse(segment).digest;
  } catch (cause) {
    const message = `${JSON.stringify(name)} is neither a digest (sha256:<64 lower-case hex digits>) nor a link.`;
    throw new FixityError("invalid-digest", message, { cause });
  }
}

/**
 * The digests in names of blobs, `-` for those in the lines of standard input. All are parsed before
 * this returns: a mistake in the last one must not leave a command half done.
 *
 * @throws FixityError `invalid-digest`, or `invalid-option` for a second `-`
 */
export async function parseBlobNames(names: readonly string[]): Promise<readonly Digest[]> {
  if (names.filter((name) => name === "-").length > 1) {
    throw new FixityError("invalid-option", "Standard input (-) can be read only once.");
  }
  const digests: Digest[] = [];
  for (const name of names) {
    if (name === "-") for await (const digest of digestsInFile("-")) digests.push(digest);
    else digests.push(parseBlobName(name));
  }
  return digests;
}

/**
 * The beginning of digests, in hex, from the flag `--prefix`.
 *
 * @throws FixityError `invalid-option`
 */
export function parsePrefix(text: string): string {
  const prefix = text
    .trim()
    .toLowerCase()
    .replace(/^sha256:/, "");
  if (/^[0-9a-f]{0,64}$/.test(prefix)) return prefix;
  throw new FixityError("invalid-option", `--prefix must be up to 64 hex digits, not ${JSON.stringify(text)}.`);
}

/** The prefixes of two digits that the digests that begin with `prefix` have. */
export function prefixesOf(prefix: string): readonly string[] {
  return DIGEST_PREFIXES.filter((listed) => listed.startsWith(prefix) || prefix.startsWith(listed));
}

/**
 * The digests in the lines of a file, `-` for standard input. Of each line the first word counts, so
 * that the output of `fixity ls` and `sha256sum` can be used; empty lines and those that begin with
 * `#` are skipped.
 *
 * @throws FixityError `invalid-digest`, or `invalid-option` if the file cannot be read
 */
export async function* digestsInFile(path: string): AsyncGenerator<Digest, void, undefined> {
  const input = path === "-" ? process.stdin : createReadStream(path);
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      const [word = ""] = line.trim().split(/\s/, 1);
      if (word !== "" && !word.startsWith("#")) yield parseBlobName(word);
    }
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
    throw new FixityError("invalid-option", `${JSON.stringify(path)}: ${fileErrorText(error)}.`, { cause: error });
  } finally {
    input.destroy();
  }
}
