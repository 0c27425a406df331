import { createHash, randomBytes } from "node:crypto";
import { ANONYMOUS, type Owner } from "../../access/principal.ts";
import { Digest } from "../digest.ts";

/** What can happen to a blob. */
export type EventType = "blob.stored" | "blob.removed" | "blob.damaged" | "blob.repaired";

/** What every event states. */
export interface BlobFacts {
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** The link, as clients receive it; not signed. */
  readonly url: string;
}

/** An upload, or a claim of stored content, that was acknowledged or is about to be. */
export interface StoredFacts extends BlobFacts {
  /** Bytes. */
  readonly size: number;
  /** The media type of the link's extension. */
  readonly type: string;
  /** The file's own name, cleaned; `null` for none. */
  readonly name: string | null;
  /**
   * Whether the content was stored before. `null` if that is unknown: the process died, or the store
   * failed, before it was recorded.
   */
  readonly existed: boolean | null;
  /** Who uploaded it; `null` for anonymous uploads. */
  readonly principal: Owner | null;
}

/** A blob that was removed, with all its links. */
export interface RemovedFacts extends BlobFacts {
  /** Bytes. */
  readonly size: number;
}

/** A blob whose stored bytes are not those of its digest. It is no longer served. */
export interface DamagedFacts extends BlobFacts {
  /** Bytes that were found. */
  readonly size: number;
  /** Their digest; `null` if they could not all be read. */
  readonly found: string | null;
}

/** Something that happened to a blob. */
export type FixityEvent = {
  /** The same for every delivery of one event. 1 to 64 letters, digits, `-` and `_`. */
  readonly id: string;
  /** When it happened, or began; RFC 3339, in UTC. */
  readonly timestamp: string;
} & (
  | { readonly type: "blob.stored"; readonly data: StoredFacts }
  | { readonly type: "blob.removed"; readonly data: RemovedFacts }
  | { readonly type: "blob.damaged"; readonly data: DamagedFacts }
  | { readonly type: "blob.repaired"; readonly data: BlobFacts }
);

/** An event without what {@link newEvent} adds. */
export type EventContent = FixityEvent extends infer Event
  ? Event extends FixityEvent
    ? Pick<Event, "type" | "data">
    : never
  : never;

/**
 * An event that happens now.
 *
 * @param key what identifies the event, if it may be recorded more than once, by several processes
 *   or after a crash: equal keys make equal ids. Not to be derived from the id, for it may be secret
 */
export function newEvent(content: EventContent, key?: string): FixityEvent {
  const id =
    key === undefined
      ? randomBytes(16).toString("hex")
      : createHash("sha256").update(`${content.type}\n${key}`).digest("hex").slice(0, 32);
  return { id: `evt_${id}`, timestamp: new Date().toISOString(), ...content };
}

/** The principal as an event states it. */
export function principalOf(owner: Owner): Owner | null {
  return owner.kind === ANONYMOUS.kind ? null : { kind: owner.kind, name: owner.name };
}

/** The blob that an event is about. */
export function digestOfEvent({ data }: FixityEvent): Digest | null {
  return Digest.fromHex(data.digest.replace(/^sha256:/, ""));
}

/**
 * An event in the outbox. An `intent` was recorded before the store was asked to do something, and
 * says nothing about whether it did.
 */
export interface Entry {
  readonly state: "intent" | "ready";
  /** When it was recorded or, for a dead letter, retried; milliseconds since 1970. */
  readonly since: number;
  readonly event: FixityEvent;
}

/** The first line of a document with entries. */
const FIRST_LINE = '{"format":"fixity-events","version":1}';

/** The bytes of a document without entries. */
export const EMPTY_BYTES: number = FIRST_LINE.length + 1;

/** One line of a document, with its end. */
export function formatEntry({ state, since, event }: Entry): string {
  return `${JSON.stringify({ state, since, event })}\n`;
}

/** The text of a document with entries. */
export function formatEntries(lines: Iterable<string>): string {
  return `${FIRST_LINE}\n${[...lines].join("")}`;
}

/** The entries of a document; `null` for a text of a later version, or one that is no such document. */
export function parseEntries(text: string): readonly Entry[] | null {
  const [first, ...lines] = text.split("\n");
  if (first !== FIRST_LINE) return null;
  try {
    const entries = lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Entry);
    return entries.every(isEntry) ? entries : null;
  } catch {
    return null;
  }
}

function isEntry({ state, since, event }: Partial<Entry>): boolean {
  return (state === "intent" || state === "ready") && typeof since === "number" && typeof event?.id === "string";
}
