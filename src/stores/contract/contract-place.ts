import type { Digest } from "../../core/digest.ts";
import type { BlobStore } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";

/**
 * An empty place with a store over it, made anew for each rule. The optional members let the suite do what the port
 * cannot; rules that need a missing one are skipped and say so.
 */
export interface ContractPlace {
  readonly store: BlobStore;
  /** Opens another store over the same place, as a second process would. The suite disposes of it. */
  readonly another?: () => Promise<BlobStore>;
  /** Shortens the stored bytes of a blob, behind the store's back. */
  readonly damage?: (digest: Digest) => Promise<void>;
  /** Leaves one half-written upload behind, as a process does that dies in the middle of it. */
  readonly abandon?: () => Promise<void>;
  /** How many half-written uploads lie in the place. Asked after every rule, and has to be 0 then. */
  readonly leftovers?: () => Promise<number>;
  /** The store's folder, where it keeps blobs as files; the one that `filePath` counts from. */
  readonly folder?: string;
  /** Removes the place; called when its stores have been disposed of. */
  readonly cleanup?: () => Promise<void>;
}

/** What a store may be unable to do; see {@link StoreContractOptions}. */
export type ContractCapability =
  /** A commit replaces a blob whose size is wrong. */
  | "replace-damaged"
  /** Of several commits of one new content, exactly one says that it was new. */
  | "tell-first-commit";

/** How the suite is run. */
export interface StoreContractOptions {
  /** What the store cannot do, each with the reason; those rules are skipped with it. */
  readonly cannot?: Readonly<Partial<Record<ContractCapability, string>>>;
  /**
   * Bytes of the largest blob. More than the store holds in memory, so that all of its ways are taken; sixteen of them
   * are under way at once and wait for each other.
   *
   * @default 5 MiB and a bit
   */
  readonly largest?: number;
}

/** What one rule is run with. */
export interface RuleContext extends Required<Omit<ContractPlace, "cleanup" | "leftovers">> {
  /** Those of the store. */
  readonly uploads: UploadStore;
  readonly largest: number;
}

/** What a rule may need. */
export type Need = "another" | "damage" | "abandon" | "folder" | "uploads" | "filePath" | "presign";

/** One sentence of the port, and the code that holds a store to it. */
export interface Rule {
  readonly name: string;
  /** The members of the place, or of its store, without which it cannot be tried. */
  readonly needs?: readonly Need[];
  readonly capability?: ContractCapability;
  readonly run: (context: RuleContext) => Promise<void>;
}
