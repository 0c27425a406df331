import type { Body, Meta, Uppy } from "@uppy/core";
import { announce } from "../announce.ts";
import { find, make } from "../find.ts";
import { fill, type Language } from "../text/language.ts";

/**
 * Tells in words what went wrong with which file, until it goes well, is removed or is tried again. The Dashboard itself hides
 * that behind a question mark.
 */
export function showFailures<M extends Meta, B extends Body>(uppy: Uppy<M, B>, { texts }: Language): void {
  const list = find(document, "#failures", HTMLUListElement);
  const lines = new Map<string, HTMLElement>();
  /** Those of the files that are being added in this moment: Uppy tells of what it takes after what it does not. */
  const fresh = new Set<string>();

  uppy.on("upload-error", (file, error, response) => {
    // where the token is not known, its own form says so
    if (file !== undefined && response?.status !== 401) show(file.id, file.name ?? "", error.message);
  });
  // too large: such a file is not in the Dashboard, and stands here until another is taken
  uppy.on("restriction-failed", (file, error) => show(file?.id ?? "", file?.name ?? "", error.message));
  uppy.on("files-added", () => {
    for (const id of lines.keys()) if (uppy.getFile(id) === undefined && !fresh.has(id)) drop(id);
  });
  uppy.on("upload-retry", (file) => drop(file.id));
  uppy.on("retry-all", () => [...lines.keys()].forEach(drop));
  uppy.on("file-removed", ({ id }) => drop(id));
  uppy.on("cancel-all", () => [...lines.keys()].forEach(drop));

  function show(id: string, name: string, reason: string): void {
    drop(id);
    // Uppy's own sentence says the name, too
    const text = reason.includes(name) ? reason : fill(texts.storedName, { name, outcome: reason });
    const line = make("li", { textContent: text });
    lines.set(id, line);
    fresh.add(id);
    setTimeout(() => fresh.delete(id));
    list.append(line);
    list.hidden = false;
    announce(text);
  }

  function drop(id: string): void {
    lines.get(id)?.remove();
    lines.delete(id);
    list.hidden = lines.size === 0;
  }
}
