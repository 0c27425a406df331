import { createHash, type Hash } from "node:crypto";

/** The algorithms of announced digests. */
export type Algorithm = "sha256" | "sha512";

/** A hash over bytes that come in over several requests. */
export interface UploadHash {
  update(bytes: Uint8Array): void;
  /** Of the bytes until now; more may follow. */
  digest(): Buffer;
  /** What {@link savedHash} goes on from, in base64; `null` where the hash cannot be put down. */
  state(): string | null;
}

/** Node's own: several times quicker, and bound to this process. */
export function nativeHash(algorithm: Algorithm): UploadHash {
  const hash: Hash = createHash(algorithm);
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.copy().digest(),
    state: () => null,
  };
}

/** One whose state can be saved, and loaded in another process. */
export async function savedHash(algorithm: Algorithm, state: string | null): Promise<UploadHash> {
  // the library is large, and a server on a disk never needs it
  const { createSHA256, createSHA512 } = await import("hash-wasm");
  const hash = await { sha256: createSHA256, sha512: createSHA512 }[algorithm]();
  if (state === null) hash.init();
  else hash.load(Buffer.from(state, "base64"));
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => {
      // to digest is the end of it: go on from a copy
      const before = hash.save();
      const digest = Buffer.from(hash.digest("binary"));
      hash.load(before);
      return digest;
    },
    state: () => Buffer.from(hash.save()).toString("base64"),
  };
}
