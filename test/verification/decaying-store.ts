import type { BlobIdentity, BlobStat } from "../../src/core/blob-stat.ts";
import type { Digest } from "../../src/core/digest.ts";
import type { StagedBlob, StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../../src/core/store.ts";

/** A store whose copies decay as disks do: a bit flips, and neither size, times nor identity change. */
export class DecayingStore {
  readonly store: BlobStore;
  /** Identities of the copies that have decayed. */
  readonly decayed: Set<BlobIdentity>;
  /** Called when a blob was opened, before the caller learns of it. */
  opened: (digest: Digest, options: OpenOptions) => Promise<void> | void = () => {};
  /** Called when a blob was committed, before the caller learns of it. */
  committed: (digest: Digest) => Promise<void> | void = () => {};
  /** Whether the caller can tell copies apart. */
  hasIdentities = true;
  readonly #inner: BlobStore;

  /** @param decayed shared by several stores over one place */
  constructor(inner: BlobStore, overrides: Partial<BlobStore> = {}, decayed: Set<BlobIdentity> = new Set()) {
    this.decayed = decayed;
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
    this.#inner = inner;
  }

  /** Lets the stored copy of a blob decay. */
  async decay(digest: Digest): Promise<void> {
    const stat = await this.#inner.stat(digest);
    this.decayed.add(stat?.identity ?? "");
  }

  #factsOf<Facts extends BlobStat | null>(stat: Facts): Facts {
    if (stat === null || this.hasIdentities) return stat;
    const { identity: _, ...facts } = stat;
    return facts as Facts;
  }

  async #open(inner: BlobStore, digest: Digest, options: OpenOptions): Promise<BlobReader | null> {
    const reader = await inner.open(digest, options);
    if (reader === null) return null;
    const { identity, size, span } = reader;
    const isDecayed = identity !== undefined && this.decayed.has(identity);
    try {
      await this.opened(digest, options);
    } catch (error) {
      await reader[Symbol.asyncDispose]();
      throw error;
    }
    const flipped = async function* (): AsyncGenerator<Uint8Array> {
      let position = span.start;
      for await (const chunk of reader) {
        const copy = Buffer.from(chunk);
        if (isDecayed && position === 0) copy[0] = (copy[0] ?? 0) ^ 1;
        position += chunk.length;
        yield copy;
      }
    };
    return {
      size,
      span,
      ...(this.hasIdentities && identity !== undefined && { identity }),
      [Symbol.asyncIterator]: flipped,
      [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
    };
  }

  async #stage(inner: BlobStore, options: StageOptions | undefined): Promise<StagedBlob> {
    const staged = await inner.stage(options);
    return {
      write: (bytes) => staged.write(bytes),
      commit: async (digest, { judge } = {}) => {
        const committed = await staged.commit(digest, { judge: judge && ((stat) => judge(this.#factsOf(stat))) });
        await this.committed(digest);
        return committed;
      },
      abort: () => staged.abort(),
      [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
    };
  }
}
