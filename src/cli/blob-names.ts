import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Link } from "../core/link.ts";
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
 * The digests in the lines of a file, `-` for standard input. Of each line the first word counts, so
 * that the output of `fixity ls` and `sha256sum` can be used; empty lines and those that begin with
 * `#` are skipped.
 *
 * @throws FixityError `invalid-digest`, or `invalid-option` if the file cannot be read
 */
export async function* digestsInFile(path: string): AsyncGenerator<Digest, void, undefined> {
  const input = path === "-" ? process.stdin : createReadStream(path);
  const lines = createInterface({ input, crlfDelay: Infinity });
  // `readline` does not pass on the errors of its input.
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => null);
  input.once("error", (error: Error) => {
    reject(new FixityError("invalid-option", `${JSON.stringify(path)}: ${fileErrorText(error)}.`, { cause: error }));
    lines.close();
  });
  try {
    const iterator = lines[Symbol.asyncIterator]();
    for (;;) {
      const line = await Promise.race([iterator.next(), failed]);
      if (line.done === true) break;
      const [word = ""] = line.value.trim().split(/\s/, 1);
      if (word !== "" && !word.startsWith("#")) yield parseBlobName(word);
    }
    // An error that ended the lines is reported even if the end of the lines came first.
    if (input.errored !== null) await failed;
  } finally {
    lines.close();
    input.destroy();
  }
}
