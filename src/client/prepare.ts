/** Calls the `prepare` option with what the caller passed, and opens what it returns. */
import { abortRace } from "../base/abort-race.ts";
import { abortError, FixityClientError } from "./errors.ts";
import type { Content, Platform } from "./platform.ts";
import { bytesOf, factsOf, NO_FACTS, type OpenedFile, type SourceFacts } from "./source.ts";
import type { PrepareFile, UploadSource } from "./types.ts";

/** The name and type of a file, where the caller has passed them. */
interface Naming {
  readonly filename: string | undefined;
  readonly type: string | undefined;
}

export interface PrepareContext extends Naming {
  readonly platform: Platform;
  /** Aborted when the upload is cancelled. */
  readonly signal: AbortSignal;
}

/** A prepared file. Its identity and time are those of the original, by which it is recognised. */
export interface PreparedFile extends OpenedFile {
  /** What the caller passed. The prepared file may consist of slices of it. */
  readonly original: Blob;
}

/**
 * Prepares a file. Does not wait for a `prepare` that ignores its signal.
 *
 * @throws FixityClientError `prepare-failed`, `invalid-source`, `aborted`, or what `prepare` throws
 *   if that is a `FixityClientError`
 */
export async function prepareSource(
  source: UploadSource,
  prepare: PrepareFile,
  { platform, signal, ...naming }: PrepareContext,
): Promise<PreparedFile> {
  const { blob, ...facts } = await blobOf(source, platform);
  const original = namedFile(blob, facts, naming);
  const prepared = await call(prepare, original, signal);
  return {
    original,
    content: prepared as unknown as Content,
    stream: null,
    name: prepared instanceof File ? prepared.name || null : original.name || null,
    type: prepared.type || original.type || null,
    identity: facts.identity,
    lastModified: facts.lastModified,
  };
}

async function call(prepare: PrepareFile, file: File, signal: AbortSignal): Promise<Blob> {
  let prepared: unknown;
  try {
    const preparing = (async () => prepare(file, { signal }))();
    prepared = await abortRace(preparing, signal);
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    if (cause instanceof FixityClientError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FixityClientError("prepare-failed", `The prepare function failed: ${reason}`, { cause });
  }
  if (prepared instanceof Blob) return prepared;
  const shown = prepared === null ? "null" : typeof prepared;
  throw new FixityClientError("prepare-failed", `The prepare function must return a File or a Blob, not ${shown}.`);
}

async function blobOf(source: UploadSource, platform: Platform): Promise<SourceFacts & { readonly blob: Blob }> {
  if (typeof source === "string" || source instanceof URL) return platform.openBlob(source);
  if (source instanceof Blob) return { blob: source, ...factsOf(source) };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { blob: new Blob([bytesOf(source)]), ...NO_FACTS };
  }
  throw new FixityClientError(
    "invalid-source",
    "A stream cannot be prepared: pass a File, a Blob, bytes or a path, or no prepare function.",
  );
}

/** The file with the name and type under which it would be uploaded. */
function namedFile(blob: Blob, facts: SourceFacts, naming: Naming): File {
  const name = naming.filename ?? facts.name ?? "";
  const type = naming.type ?? facts.type ?? "";
  if (blob instanceof File && blob.name === name && blob.type === type) return blob;
  return new File([blob], name, { type, ...(facts.lastModified !== null && { lastModified: facts.lastModified }) });
}
