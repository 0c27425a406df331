import { forEachConcurrent } from "../../base/map-concurrent.ts";
import type { BlobIdentity } from "../blob-stat.ts";
import { publishVerification } from "../diagnostics.ts";
import { Digest } from "../digest.ts";
import type { Events } from "../events/events.ts";
import type { DocumentStore } from "../document-store.ts";
import type { MarkKind, Marks } from "../marks.ts";
import type { Damage } from "./damage.ts";

/** The names of damage marks, up to the digest in hex. */
const DAMAGED_PREFIX = "marks/damaged-";

/** Marks that are read at the same time. */
const CONCURRENT_READS_MAX = 8;

/** A mark as this process knows it. */
interface KnownMark {
  readonly damage: Damage;
  /** The tag of its document; `null` if it could not be written yet. */
  readonly tag: string | null;
}

/**
 * Which blobs are known to be damaged, on all instances over the store. A mark is the document
 * `marks/damaged-<digest>`, which names the identity of the damaged copy: a mark of another copy is
 * outdated and does not count.
 *
 * If the marks cannot be listed (`../marks.ts`), those that are known still count, and reads go on:
 * every instance verifies what it reads on its own.
 */
export class DamageMarks implements MarkKind {
  readonly #listing: Marks;
  readonly #log: (message: string, cause?: unknown) => void;
  readonly #onRepaired: (digest: Digest) => void;
  readonly #marks = new Map<string, KnownMark>();

  /** @param onRepaired called when a mark has gone that this process has not removed */
  constructor(
    listing: Marks,
    log: (message: string, cause?: unknown) => void,
    onRepaired: (digest: Digest) => void = () => {},
  ) {
    this.#listing = listing;
    this.#log = log;
    this.#onRepaired = onRepaired;
    listing.keep(this);
  }

  /** Lists the marks unless they were listed in the last ten seconds. Returns nothing if so. */
  refresh(): Promise<void> | undefined {
    return this.#listing.refresh();
  }

  get count(): number {
    return this.#marks.size;
  }

  /** The damage of the copy with this identity, or `null`. */
  of(digest: Digest, identity: BlobIdentity | undefined): Damage | null {
    const mark = this.#marks.get(digest.hex);
    return mark !== undefined && mark.damage.identity === (identity ?? null) ? mark.damage : null;
  }

  /**
   * Whether there is a mark of a blob.
   *
   * @param identity the copy that must be marked. @default any
   */
  has(digest: Digest, identity?: BlobIdentity | null): boolean {
    const mark = this.#marks.get(digest.hex);
    return mark !== undefined && (identity === undefined || mark.damage.identity === identity);
  }

  /**
   * Marks a blob. It counts in this process at once, also if it cannot be written; then that is
   * tried again with the next listing.
   */
  async add(digest: Digest, damage: Damage): Promise<void> {
    publishVerification(digest, "damaged");
    this.#marks.set(digest.hex, { damage, tag: null });
    await this.#write(digest, damage);
  }

  /**
   * Removes the mark of a blob, whose bytes are right again. Never throws: a mark of a copy that was
   * replaced does not count.
   *
   * @param events where it is recorded that a damaged copy was replaced
   */
  async clear(digest: Digest, events: Pick<Events, "repaired"> | null = null): Promise<void> {
    const mark = this.#marks.get(digest.hex);
    if (mark === undefined) return;
    if (events !== null) {
      // The mark goes last: until then the event is recorded again after a crash.
      await events.repaired(digest, mark.damage);
      if (this.#marks.get(digest.hex) !== mark) return;
    }
    this.#marks.delete(digest.hex);
    if (mark.tag === null) return;
    try {
      // Another instance may have marked another copy since: that mark has another tag and stays.
      await this.#listing.documents?.remove(nameOf(digest), mark.tag);
    } catch (error) {
      this.#log(`the mark of the repaired blob ${digest.toString()} could not be removed`, error);
    }
  }

  async #write(digest: Digest, damage: Damage): Promise<void> {
    const { documents } = this.#listing;
    if (documents === undefined) return;
    try {
      const tag = await documents.write(nameOf(digest), formatDamage(damage));
      if (this.#marks.get(digest.hex)?.damage === damage) this.#marks.set(digest.hex, { damage, tag });
    } catch (error) {
      this.#log(`the damaged blob ${digest.toString()} could not be marked: other instances do not know of it`, error);
    }
  }

  beginListing(): (found: ReadonlyMap<string, string>) => Promise<void> {
    const known = new Map(this.#marks);
    return async (found) => {
      const { documents } = this.#listing;
      if (documents === undefined) return;
      await forEachConcurrent(found, CONCURRENT_READS_MAX, ([name, tag]) => this.#learn(documents, name, tag));
      for (const [hex, mark] of known) {
        const digest = Digest.fromHex(hex);
        if (digest === null || this.#marks.get(hex) !== mark) continue;
        if (mark.tag === null) await this.#write(digest, mark.damage);
        else if (!found.has(nameOf(digest))) {
          this.#marks.delete(hex);
          this.#onRepaired(digest);
        }
      }
    };
  }

  /** Reads a mark that is new or has changed. Names and texts of a later version are ignored. */
  async #learn(documents: DocumentStore, name: string, tag: string): Promise<void> {
    if (!name.startsWith(DAMAGED_PREFIX)) return;
    const hex = name.slice(DAMAGED_PREFIX.length);
    const known = this.#marks.get(hex);
    // What this process has found and could not write yet is newer.
    if (Digest.fromHex(hex) === null || known?.tag === null || known?.tag === tag) return;
    const document = await documents.read(name);
    const damage = document === null ? null : parseDamage(document.text);
    if (document === null || damage === null || this.#marks.get(hex) !== known) return;
    this.#marks.set(hex, { damage, tag: document.tag });
  }
}

function nameOf(digest: Digest): string {
  return DAMAGED_PREFIX + digest.hex;
}

function formatDamage({ identity, found, size }: Damage): string {
  const seen = new Date().toISOString();
  return JSON.stringify({ version: 1, identity, found: found?.toString() ?? null, size, seen });
}

/** `null` for a text of a later version. */
function parseDamage(text: string): Damage | null {
  try {
    const { version, identity, found, size } = JSON.parse(text) as Record<string, unknown>;
    if (version !== 1 || !(identity === null || typeof identity === "string")) return null;
    const digest = typeof found === "string" ? Digest.fromHex(found.replace(/^sha256:/, "")) : null;
    return { identity, found: digest, size: typeof size === "number" ? size : 0 };
  } catch {
    return null;
  }
}
