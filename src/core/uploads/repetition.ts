import type { Receipt } from "../receipt.ts";
import { agreedLength, type AppendOptions, disagreement, inconsistent, mismatch } from "./append.ts";
import type { UploadState } from "./upload-state.ts";

/**
 * Holds a request against an upload that is complete already: it may send again what that has, since an answer was lost as
 * a rule, and nothing else. Bytes whose number nobody has announced are counted.
 *
 * @throws FixityError `offset-mismatch`, `inconsistent-length`, `digest-mismatch`, or what the source throws
 */
export async function checkRepetition(
  { offset: size }: UploadState,
  { digest }: Receipt,
  options: AppendOptions,
): Promise<void> {
  const { offset, lengths = [], announced, digest: told } = options;
  if (offset > size) throw mismatch(size, offset);
  lengths.reduce<number | null>(agreedLength, size);
  if (told?.equals(digest) === false) throw disagreement();
  let end = offset + (announced ?? 0);
  assertWithin(end, size);
  if (announced !== undefined) return;
  for await (const bytes of options.source) assertWithin((end += bytes.length), size);
}

function assertWithin(end: number, size: number): void {
  if (end > size) throw inconsistent(`The upload is complete with ${size} bytes, and takes no more.`);
}
