import type { DigestJob } from "./upload-digest.ts";
import type { UploadContext } from "./upload-context.ts";

/** Milliseconds between two looks at how far a digest is. */
const TICK = 100;

/** Waits for what comes of a digest, and tells how far it is. Nothing is sent in the meantime. @throws FixityClientError `aborted` */
export async function waitForDigest(
  { meter, steering }: UploadContext,
  digest: DigestJob,
  outcome: Promise<unknown>,
): Promise<void> {
  meter.hashed(digest.hashed);
  const ticking = setInterval(() => meter.hashed(digest.hashed), TICK);
  try {
    await steering.wait(outcome);
  } finally {
    clearInterval(ticking);
  }
}
