import { lifeOf, ownerOf, thisProcess } from "../../base/process-identity.ts";
import type { DocumentStore, ListedDocument } from "../document-store.ts";
import { EVENTS_PREFIX, outboxDocumentOf } from "./outbox.ts";

/** How long the documents of a process on another machine stay if there is nothing in them. */
const EMPTY_KEPT_MS = 60 * 60_000;

/** The documents of one process, as a listing shows them. */
interface Documents {
  readonly pages: ListedDocument[];
  readonly signs: ListedDocument[];
}

/** What was last seen of a process that cannot be observed directly. */
interface Observation {
  /** The tags of all its documents. */
  readonly state: string;
  /** `performance.now()` when they were first seen so. */
  readonly since: number;
  /** Whether there was nothing to take. */
  isEmpty: boolean;
}

/** Options of {@link Takeovers}. */
export interface TakeoversOptions {
  /** The outbox of this process. */
  readonly owner: string;
  /** Milliseconds of silence after which a process on another machine counts as gone. */
  readonly leaseMs: number;
  /**
   * Takes the entries of a document and removes it.
   *
   * @returns how many there were
   */
  readonly take: (name: string) => Promise<number>;
}

/**
 * Finds the documents of processes that are gone, and of those that have released them. A process on
 * this machine is gone when its id is; one on another machine, or in another container, when nothing
 * in its documents has changed for the lease. A process that lives shows that within the lease
 * ({@link Outbox.showLife}). One that was only slow loses nothing: it writes its entries again.
 */
export class Takeovers {
  readonly #documents: DocumentStore;
  readonly #options: TakeoversOptions;
  readonly #self = thisProcess();
  #observations = new Map<string, Observation>();

  constructor(documents: DocumentStore, options: TakeoversOptions) {
    this.#documents = documents;
    this.#options = options;
  }

  /** Lists the documents of all processes, and takes over those whose process is gone. */
  async run(signal: AbortSignal): Promise<void> {
    const owners = new Map<string, Documents>();
    const shared: string[] = [];
    for await (const document of this.#documents.list(EVENTS_PREFIX, signal)) {
      const { owner, isSignOfLife } = outboxDocumentOf(document.name);
      if (owner === null) shared.push(document.name);
      if (owner === null || owner === this.#options.owner) continue;
      const documents = owners.get(owner) ?? { pages: [], signs: [] };
      owners.set(owner, documents);
      (isSignOfLife ? documents.signs : documents.pages).push(document);
    }
    for (const name of shared) {
      signal.throwIfAborted();
      await this.#options.take(name);
    }
    const observations = new Map<string, Observation>();
    for (const [owner, documents] of owners) {
      signal.throwIfAborted();
      const observation = this.#observe(owner, documents);
      observations.set(owner, observation);
      if (this.#isGone(owner, observation)) await this.#takeAll(documents, observation, signal);
    }
    this.#observations = observations;
  }

  async #takeAll(documents: Documents, observation: Observation, signal: AbortSignal): Promise<void> {
    let taken = 0;
    for (const { name } of documents.pages) {
      signal.throwIfAborted();
      taken += await this.#options.take(name);
    }
    observation.isEmpty = taken === 0;
    for (const { name, tag } of documents.signs) await this.#documents.remove(name, tag);
  }

  #isGone(owner: string, { since, isEmpty }: Observation): boolean {
    const process = ownerOf(owner);
    const life = process === null ? "unknown" : lifeOf(process, this.#self);
    if (life !== "unknown") return life === "dead";
    return performance.now() - since >= (isEmpty ? EMPTY_KEPT_MS : this.#options.leaseMs);
  }

  #observe(owner: string, { pages, signs }: Documents): Observation {
    const tags = [...pages, ...signs].map(({ name, tag }) => `${name} ${tag}`);
    const state = tags.sort().join("\n");
    const before = this.#observations.get(owner);
    return before?.state === state ? before : { state, since: performance.now(), isEmpty: false };
  }
}
