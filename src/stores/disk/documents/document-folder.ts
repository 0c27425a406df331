import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeChunks } from "../batch-writer.ts";
import { close, look, open, readdir, rename } from "../calls.ts";
import { failedWith, type FileSystem } from "../file-system.ts";
import type { Modes } from "../layout.ts";

/** Looks at a folder that is being changed, and the pause between them. */
const LOOKS_MAX = 100;
const LOOK_INTERVAL_MS = 5;

const TOKEN_NAME = /^(\d{1,15})-(written|removed)-([0-9a-f-]+)$/;
const TEXT_NAME = /^(\d{1,15})-([0-9a-f-]+)\.text$/;

/** One write or removal. */
export interface Version {
  /** Counts up during the life of the folder. */
  readonly generation: number;
  /** Never used twice: the name of the process that made it, with a random part (`newName`). */
  readonly name: string;
}

/**
 * The state of a document: an empty file `<generation>-<state>-<name>`, of which a folder has one. It
 * changes by a rename, so of all writers that have seen one token, exactly one replaces it. Names
 * are never reused, so none is mistaken for a later one.
 */
export interface DocumentToken extends Version {
  readonly state: "written" | "removed";
}

/** The contents of a document's folder. */
export interface DocumentView {
  /** `null` for the remains of a folder whose removal, or whose copying from a backup, was cut off. */
  readonly token: DocumentToken | null;
  /** The token, if it names a text that is there; `null` if there is no document. */
  readonly current: DocumentToken | null;
  /** The texts in the folder: the current one, those that were superseded, and those to come. */
  readonly texts: readonly Version[];
  /** How many other files there are. */
  readonly foreign: number;
}

/**
 * The folder of one document:
 *
 *     <id>/
 *       <n>-<name>.text         the text of one write
 *       <n>-written-<name>      the token: which text counts
 *
 * A write adds its text, makes it durable, and then renames the token. A removal renames the token
 * to `<n>-removed-<name>` and leaves it there, so that writers at the same time exclude each other.
 * Whatever the moment of a crash, the token names a complete text.
 */
export class DocumentFolder {
  readonly path: string;
  readonly #files: FileSystem;
  readonly #modes: Modes;

  constructor(path: string, files: FileSystem, modes: Modes) {
    this.path = path;
    this.#files = files;
    this.#modes = modes;
  }

  /** `null` if there is no folder, or an empty one. */
  async view(): Promise<DocumentView | null> {
    let view: DocumentView | null = null;
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      if (looks > 0) await sleep(LOOK_INTERVAL_MS);
      const names = await this.#names();
      if (names.length === 0) return null;
      view = viewOf(names);
      // A listing during a rename may contain neither name, or a token but not yet its text.
      if (view.current !== null || view.token?.state === "removed") return view;
    }
    return view;
  }

  /** The text of a version; `null` if it has been superseded and removed. */
  async readText(version: Version): Promise<string | null> {
    try {
      return await readFile(this.#text(version), "utf8");
    } catch (error) {
      if (failedWith(error, "ENOENT")) return null;
      throw error;
    }
  }

  /** Adds a text, durably. After a failure it is gone. */
  async addText(version: Version, text: string): Promise<void> {
    const fd = await open(this.#text(version), "wx", this.#modes.file);
    try {
      const bytes = Buffer.from(text);
      try {
        await writeChunks(fd, [bytes], { length: bytes.length, position: 0 });
        await this.#files.flushFile(fd, bytes.length);
      } finally {
        await close(fd);
      }
      await this.#files.flushFolder(this.path);
    } catch (error) {
      await this.removeTexts([version]);
      throw error;
    }
  }

  /** Adds the first token of a folder that no other process can see yet. */
  async addToken(token: DocumentToken): Promise<void> {
    await close(await open(this.#token(token), "wx", this.#modes.file));
  }

  /** Replaces a token that was seen; `false` if another writer has done so, or the folder is gone. */
  async exchange(seen: DocumentToken, next: DocumentToken): Promise<boolean> {
    try {
      await rename(this.#token(seen), this.#token(next));
      return true;
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      // A network file system that repeats a rename whose answer was lost finds the old name gone.
      return this.has(next);
    }
  }

  async has(token: DocumentToken): Promise<boolean> {
    return (await look(this.#token(token))) !== null;
  }

  /** Removes texts that do not count. Never throws. */
  async removeTexts(versions: readonly Version[]): Promise<void> {
    await Promise.all(versions.map((version) => this.#files.remove(this.#text(version), "a file of a document")));
  }

  /** Removes the token of a removed document. Never throws. */
  async removeToken(token: DocumentToken): Promise<void> {
    await this.#files.remove(this.#token(token), "a file of a document");
  }

  /** When a text was written, by the clock of the file system; `null` if it is gone. */
  async timeOf(version: Version): Promise<Date | null> {
    return (await look(this.#text(version)))?.mtime ?? null;
  }

  async #names(): Promise<readonly string[]> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if (failedWith(error, "ENOENT")) return [];
      throw error;
    }
  }

  #text({ generation, name }: Version): string {
    return join(this.path, `${generation}-${name}.text`);
  }

  #token({ generation, state, name }: DocumentToken): string {
    return join(this.path, `${generation}-${state}-${name}`);
  }
}

/** A document's tag: the version of its last write. */
export function tagOf({ generation, name }: Version): string {
  return `${generation}-${name}`;
}

function viewOf(names: readonly string[]): DocumentView {
  const texts: Version[] = [];
  let token: DocumentToken | null = null;
  let foreign = 0;
  for (const file of names) {
    const [, ofText, text] = TEXT_NAME.exec(file) ?? [];
    const [, ofToken, state, name] = TOKEN_NAME.exec(file) ?? [];
    if (text !== undefined) {
      texts.push({ generation: Number(ofText), name: text });
    } else if (name === undefined) {
      foreign += 1;
    } else {
      // A listing during a rename may contain both names: the later one counts.
      if (token !== null) foreign += 1;
      const generation = Number(ofToken);
      const isLater = token === null || generation > token.generation;
      if (isLater) token = { generation, state: state as DocumentToken["state"], name };
    }
  }
  const isWritten = token?.state === "written" && texts.some((text) => tagOf(text) === tagOf(token));
  return { token, current: isWritten ? token : null, texts, foreign };
}
