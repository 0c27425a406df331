import { createHash } from "node:crypto";
import zlib from "node:zlib";
import { FixityError } from "../../core/errors.ts";

/** The algorithms of tus's `Upload-Checksum` that are checked here. "The Server MUST support at least the SHA1 checksum". */
export const CHECKSUM_ALGORITHMS = ["sha256", "sha1", "crc32"] as const;

type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** What `Upload-Checksum` says of a request's content. */
export interface UploadChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: Buffer;
}

/**
 * Reads `Upload-Checksum`: an algorithm and a base64 value, with a space between.
 *
 * @throws FixityError `invalid-field`, `unsupported-digest`
 */
export function parseUploadChecksum(text: string): UploadChecksum {
  const [, name, value] = /^([a-z0-9-]+) ([A-Za-z0-9+/]+={0,2})$/.exec(text.trim()) ?? [];
  if (name === undefined || value === undefined) {
    throw new FixityError("invalid-field", "Upload-Checksum is an algorithm and a base64 value, with a space between.");
  }
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name);
  if (algorithm !== undefined) return { algorithm, value: Buffer.from(value, "base64") };
  throw new FixityError("unsupported-digest", `Upload-Checksum can be by ${CHECKSUM_ALGORITHMS.join(", ")}.`);
}

/** Content that is summed on its way to the reader. */
export class SummedBody implements AsyncIterable<Uint8Array> {
  readonly #body: AsyncIterable<Uint8Array>;
  readonly #sums: ReadonlyMap<ChecksumAlgorithm, Sum>;

  constructor(body: AsyncIterable<Uint8Array>, algorithms: readonly ChecksumAlgorithm[]) {
    this.#body = body;
    this.#sums = new Map(algorithms.map((algorithm) => [algorithm, sumOf(algorithm)]));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for await (const bytes of this.#body) {
      for (const sum of this.#sums.values()) sum.update(bytes);
      yield bytes;
    }
  }

  /** Holds what came in against a checksum; when the body has ended. @throws FixityError `checksum-mismatch` */
  check({ algorithm, value }: UploadChecksum): void {
    if (this.#sums.get(algorithm)?.result().equals(value) === true) return;
    throw new FixityError("checksum-mismatch", `The content that came in is not what its ${algorithm} checksum names.`);
  }
}

interface Sum {
  update(bytes: Uint8Array): void;
  result(): Buffer;
}

function sumOf(algorithm: ChecksumAlgorithm): Sum {
  if (algorithm !== "crc32") {
    const hash = createHash(algorithm);
    return { update: (bytes) => void hash.update(bytes), result: () => hash.copy().digest() };
  }
  let value = 0;
  return {
    update: (bytes) => void (value = zlib.crc32(bytes, value)),
    result: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    },
  };
}
