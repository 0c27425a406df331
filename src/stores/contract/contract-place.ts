import type { Digest } from "../../core/digest.ts";
import type { DocumentStore } from "../../core/document-store.ts";
import type { BlobStore } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";

/**
 * An empty place with a store over it, made for each rule. The optional members let the suite do
 * what the port cannot; a rule that needs a missing one is skipped, with the reason.
 */
export interface ContractPlace {
  readonly store: BlobStore;
  /**
   * Opens another store over the same place, as a second process would. The suite disposes of it.
   */
  readonly another?: () => Promise<BlobStore>;
  /** Shortens the stored bytes of a blob, behind the store's back. */
  readonly damage?: (digest: Digest) => Promise<void>;
  /** Changes a byte of a blob, which keeps its size, behind the store's back. */
  readonly corrupt?: (digest: Digest) => Promise<void>;
  /** Leaves one half-written upload behind, like a process that dies in the middle of it. */
  readonly abandon?: () => Promise<void>;
  /** How many half-written uploads lie in the place. Called after every rule, when it must be 0. */
  readonly leftovers?: () => Promise<number>;
  /** The folder to which `filePath` is relative, if the store keeps blobs as files. */
  readonly folder?: string;
  /** Removes the place. Called once its stores have been disposed of. */
  readonly cleanup?: () => Promise<void>;
}

/** What a store may be unable to do; see {@link StoreContractOptions}. */
export type ContractCapability =
  /** A commit replaces a blob whose size is wrong, and one that its judge does not keep. */
  | "replace-damaged"
  /** Of concurrent commits of new content, exactly one reports that it was new. */
  | "tell-first-commit";

/** Options of the suite. */
export interface StoreContractOptions {
  /** What the store cannot do, each with the reason. The rules concerned are skipped. */
  readonly cannot?: Readonly<Partial<Record<ContractCapability, string>>>;
  /**
   * The size of the largest blob, in bytes. Larger than what the store holds in memory, so that all
   * its code paths run; sixteen such blobs are uploaded at once and wait for each other.
   *
   * @default 5 MiB and a bit
   */
  readonly largest?: number;
  /**
   * How many rules run at the same time, each with a place of its own. Many of them wait.
   *
   * @default 1
   */
  readonly concurrency?: number;
}

/** What a rule is run with. */
export interface RuleContext extends Required<Omit<ContractPlace, "cleanup" | "leftovers">> {
  /** The uploads of the store. */
  readonly uploads: UploadStore;
  /** The documents of the store. */
  readonly documents: DocumentStore;
  readonly largest: number;
}

/** What a rule may need. */
export type Need =
  | "another"
  | "damage"
  | "corrupt"
  | "abandon"
  | "folder"
  | "uploads"
  | "documents"
  | "filePath"
  | "presign"
  | "listPrefix"
  | "stageFile";

/** One sentence of the port, and the code that holds a store to it. */
export interface Rule {
  readonly name: string;
  /** The members of the place, or of its store, without which the rule cannot run. */
  readonly needs?: readonly Need[];
  readonly capability?: ContractCapability;
  readonly run: (context: RuleContext) => Promise<void>;
}
