import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { Hashes } from "../intake.ts";
import type { BlobStore } from "../store.ts";
import { agreedLength, type AppendOptions, disagreement, type Expectation, mismatch } from "./append.ts";

/**
 * Checks an append to an upload that is complete, for a client that has lost the answer to its last append. It may be
 * replayed only where it adds no byte at the end: whether other bytes are those of the upload is not known, and answering
 * success would acknowledge bytes that are not stored. Everything that the append states of the whole upload must hold.
 *
 * @throws FixityError `offset-mismatch` with the size as the expected offset, `inconsistent-length`, `digest-mismatch`, or
 *   what the source, the check of the request or the store throws
 */
export async function checkReplay(
  { size, digest }: { readonly size: number; readonly digest: Digest },
  options: AppendOptions,
  blobs: BlobStore,
): Promise<void> {
  const { offset, announced = 0, lengths = [], source } = options;
  if (offset !== size) throw mismatch(size, offset);
  if (announced > 0) throw takesNoMore(size);
  for await (const bytes of source) if (bytes.length > 0) throw takesNoMore(size);
  lengths.reduce<number | null>(agreedLength, size);
  for (const told of [options, options.check?.() ?? {}]) await checkDigests(told, digest, blobs);
}

async function checkDigests({ digest, sha512 }: Expectation, stored: Digest, blobs: BlobStore): Promise<void> {
  if (digest?.equals(stored) === false) throw disagreement();
  if (sha512 === undefined) return;
  await using reader = await blobs.open(stored);
  if (reader === null) throw new FixityError("blob-not-found", "The file of this upload has been removed.");
  const hashes = Hashes.native(["sha512"]);
  for await (const bytes of reader) hashes.update(bytes);
  if (hashes.digest("sha512")?.equals(sha512) !== true) throw disagreement();
}

function takesNoMore(size: number): FixityError {
  return new FixityError("offset-mismatch", `The upload is complete with ${size} bytes, and takes no more.`, {
    facts: { "expected-offset": size, "provided-offset": size },
  });
}
