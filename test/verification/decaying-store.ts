import type { BlobStat } from "../../src/core/blob-stat.ts";
import { FixityError } from "../../src/core/errors.ts";
import type { Digest } from "../../src/core/digest.ts";
import type { StagedBlob, StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../../src/core/store.ts";

/** A store whose copies decay as disks do: a bit flips, and neither size, times nor identity change. */
export class DecayingStore {
  readonly store: BlobStore;
  /** Digests in hex of blobs whose stored copy has decayed, until a commit replaces it. */
  readonly decayed: Set<string> = new Set<string>();
  /** Called when a blob was opened, before the caller learns of it. */
  opened: (digest: Digest, options: OpenOptions) => Promise<void> | void = () => {};
  /** Called when a blob was committed, before the caller learns of it. */
  committed: (digest: Digest) => Promise<void> | void = () => {};
  /** Whether the store tells its copies apart. */
  hasIdentities = true;

  constructor(inner: BlobStore, overrides: Partial<BlobStore> = {}) {
    const own: Partial<BlobStore> = {
      open: (digest, options = {}) => this.#open(inner, digest, options),
      stage: (options) => this.#stage(inner, options),
      stat: async (digest, signal) => this.#factsOf(await inner.stat(digest, signal)),
      confirm: async (digest, signal) => this.#factsOf(await inner.confirm(digest, signal)),
      ...overrides,
    };
    this.store = new Proxy(inner, {
      get: (target, name) => {
        if (name in own) return own[name as keyof BlobStore];
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? (value as () => unknown).bind(target) : value;
      },
    });
  }

  #factsOf<Facts extends BlobStat | null>(stat: Facts): Facts {
    if (stat === null || this.hasIdentities) return stat;
    const { identity: _, ...facts } = stat;
    return facts as Facts;
  }

  async #open(inner: BlobStore, digest: Digest, options: OpenOptions): Promise<BlobReader | null> {
    const isDecayed = this.decayed.has(digest.hex);
    const reader = await inner.open(digest, options);
    await this.opened(digest, options);
    if (reader === null) return null;
    const flipped = async function* (): AsyncGenerator<Uint8Array> {
      let position = reader.span.start;
      for await (const chunk of reader) {
        const copy = Buffer.from(chunk);
        if (isDecayed && position === 0) copy[0] = (copy[0] ?? 0) ^ 1;
        position += chunk.length;
        yield copy;
      }
      if (position !== reader.span.end) throw new FixityError("blob-damaged", "shorter than it was");
    };
    return {
      size: reader.size,
      span: reader.span,
      ...(this.hasIdentities && reader.identity !== undefined && { identity: reader.identity }),
      [Symbol.asyncIterator]: flipped,
      [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
    };
  }

  async #stage(inner: BlobStore, options: StageOptions | undefined): Promise<StagedBlob> {
    const staged = await inner.stage(options);
    return {
      write: (bytes) => staged.write(bytes),
      commit: async (digest, { judge } = {}) => {
        let isKept = false;
        const committed = await staged.commit(digest, {
          judge: async (stored) => {
            const verdict = (await judge?.(this.#factsOf(stored))) ?? "keep";
            isKept = verdict === "keep";
            return verdict;
          },
        });
        if (!isKept) this.decayed.delete(digest.hex);
        await this.committed(digest);
        return committed;
      },
      abort: () => staged.abort(),
      [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
    };
  }
}
