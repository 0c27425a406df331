/**
 * What tus servers store, for `fixity import --tus`: the bytes of an upload under its id, and beside
 * them a description in JSON.
 *
 *     <id>        the bytes so far; in a bucket only once the upload is complete
 *     <id>.info   of tusd, and of @tus/s3-store
 *     <id>.json   of @tus/file-store
 *     <id>.part   in a bucket: bytes of an unfinished upload
 *     <id>.lock   of a running tusd
 */
import { Buffer } from "node:buffer";
import { systemErrorCode } from "../base/system-errors.ts";
import type { Naming } from "../core/file-name.ts";
import type { Importable, OpenedImport, Unimportable } from "./import-sources.ts";
import { fileErrorText } from "./local-files.ts";

const SUFFIXES = [".info", ".json"] as const;

/** Longer files are no descriptions: tus servers limit metadata to a header field. */
const DESCRIPTION_MAX_BYTES = 256 * 1024;

/** What an upload is, as its server has described it. */
interface Description {
  /** Bytes; `null` if the client had not announced them. */
  readonly size: number | null;
  readonly naming: Naming;
  /** Whether it was made to be concatenated with others. */
  readonly isPartial: boolean;
}

/**
 * An upload of a tus server, by the name that its client gave it; `null` for a description. Unfinished
 * uploads, and files that are no uploads, are skipped with a reason.
 */
export async function asTusUpload(file: Importable, signal: AbortSignal): Promise<Importable | Unimportable | null> {
  try {
    return await described(file, signal);
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
    return { path: file.path, status: "failed", reason: fileErrorText(error) };
  }
}

async function described(file: Importable, signal: AbortSignal): Promise<Importable | Unimportable | null> {
  const isNamedSo = SUFFIXES.some((suffix) => file.path.endsWith(suffix));
  // An upload may end so as well: then it has a description of its own, and is none.
  if (isNamedSo && (await descriptionIn(await file.open(signal))) !== null) return null;
  let found: Description | null = null;
  for (const suffix of SUFFIXES) found ??= await descriptionIn(await file.openBeside(suffix, signal));
  if (found === null) return skipped(file, "no tus server has described it: there is neither its .info nor its .json");
  const { size, naming, isPartial } = found;
  if (isPartial) return skipped(file, "a part of an upload that was concatenated");
  if (size === null) return skipped(file, `an unfinished upload: ${file.size} bytes of an unknown number`);
  if (size !== file.size) return skipped(file, `an unfinished upload: ${file.size} of ${size} bytes`);
  return { ...file, naming };
}

function skipped({ path }: Importable, reason: string): Unimportable {
  return { path, status: "skipped", reason };
}

/** Reads a description; `null` if there is none, or it is something else. */
async function descriptionIn(opened: OpenedImport | null): Promise<Description | null> {
  if (opened === null) return null;
  await using file = opened;
  if (file.size > DESCRIPTION_MAX_BYTES) return null;
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.bytes) chunks.push(Uint8Array.from(chunk));
  try {
    return descriptionOf(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  } catch {
    return null;
  }
}

function descriptionOf(value: unknown): Description | null {
  if (typeof value !== "object" || value === null) return null;
  // tusd capitalizes the names of members, and @tus/server does not
  const members = new Map(Object.entries(value).map(([name, member]) => [name.toLowerCase(), member as unknown]));
  const [id, size, metadata] = [members.get("id"), members.get("size"), members.get("metadata")];
  if (typeof id !== "string" || !(metadata === undefined || metadata === null || typeof metadata === "object")) {
    return null;
  }
  const text = (name: string): string | null => {
    const member: unknown = Reflect.get(metadata ?? {}, name);
    return typeof member === "string" ? member : null;
  };
  return {
    size: typeof size === "number" && members.get("sizeisdeferred") !== true ? size : null,
    naming: { filename: text("filename") ?? text("name"), type: text("filetype") ?? text("type") },
    isPartial: members.get("ispartial") === true,
  };
}
