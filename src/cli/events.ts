import type { DocumentStore } from "../core/document-store.ts";
import { FixityError } from "../core/errors.ts";
import { listDeadEvents, takeDeadEvents } from "../core/events/dead-events.ts";
import type { Entry } from "../core/events/event.ts";
import { EVENTS_PREFIX, readEntries } from "../core/events/outbox.ts";
import { EXIT } from "./exit-codes.ts";
import { letReaderLeave, print, printJson, printProblem } from "./output.ts";
import { assertStoreExists, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/** What the user asks for. */
export interface EventsRequest {
  readonly action: "ls" | "retry" | "rm";
  /** Ids of dead letters, to be retried or removed. */
  readonly ids: readonly string[];
  readonly isAll: boolean;
  readonly isJson: boolean;
}

/** An `intent` has perhaps not happened, `ready` waits for its delivery, `dead` was given up. */
type Status = Entry["state"] | "dead";

/**
 * `fixity events`: lists the events in a store, and retries or removes those that were given up.
 *
 * @throws FixityError `invalid-option`, or a `store-…` code
 */
export async function manageEvents(sources: StoreCommandSources, request: EventsRequest): Promise<number> {
  const { action, ids, isAll } = request;
  if (action === "ls" && (ids.length > 0 || isAll)) throw invalid("ls lists all events: leave out ids and --all.");
  if (action !== "ls" && ids.length === 0 && !isAll) throw invalid("Name the events by their ids, or --all.");
  if (ids.length > 0 && isAll) throw invalid("Use either ids or --all.");
  letReaderLeave();
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    const { documents } = opened.store;
    if (documents === undefined) throw invalid("This store keeps no events.");
    if (action === "ls") return await list(documents, request, opened.signal);
    return await take(documents, request, opened.signal);
  });
}

async function list(documents: DocumentStore, { isJson }: EventsRequest, signal: AbortSignal): Promise<number> {
  const show = (status: Status, { since, event }: Entry): void => {
    const time = new Date(since).toISOString();
    if (isJson) printJson({ status, since: time, event });
    else print(`${status.padEnd(6)}  ${time}  ${event.id}  ${event.type.padEnd(13)}  ${event.data.digest}\n`);
  };
  for await (const { name } of documents.list(EVENTS_PREFIX, signal)) {
    // Signs of life are no lists of entries, and neither are documents of later versions.
    for (const entry of (await readEntries(documents, name))?.entries ?? []) show(entry.state, entry);
  }
  for await (const { entry } of listDeadEvents(documents, signal)) show("dead", entry);
  return EXIT.ok;
}

async function take(
  documents: DocumentStore,
  { action, ids, isAll, isJson }: EventsRequest,
  signal: AbortSignal,
): Promise<number> {
  const found = new Set<string>();
  const isWanted = ({ event }: Entry): boolean => {
    const wanted = isAll || ids.includes(event.id);
    if (wanted) found.add(event.id);
    return wanted;
  };
  const count = await takeDeadEvents(documents, { isWanted, retries: action === "retry" }, signal);
  const status = action === "retry" ? "retried" : "removed";
  if (isJson) printJson({ status, events: count });
  else print(`${status} ${counted(count, "event")}\n`);
  const missing = ids.filter((id) => !found.has(id));
  for (const id of missing) printProblem(`no dead letter has the id ${JSON.stringify(id)}`);
  return missing.length > 0 ? EXIT.failed : EXIT.ok;
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
