import type { Body, Meta, Uppy, UppyFile } from "@uppy/core";
import { announce, find, make } from "../dom.ts";
import { fill, type Language } from "../text/language.ts";

type Response<M extends Meta, B extends Body> = NonNullable<UppyFile<M, B>["response"]>;

/**
 * Shows which file failed and why, until it is uploaded again, retried or removed. The Dashboard
 * itself hides the reason behind a question mark.
 *
 * @param isShown whether a response refuses the credentials, which is shown elsewhere
 */
export function showFailures<M extends Meta, B extends Body>(
  uppy: Uppy<M, B>,
  { texts }: Language,
  isShown: (response: Response<M, B>) => boolean,
): void {
  const list = find(document, "#failures", HTMLUListElement);
  const lines = new Map<string, HTMLElement>();
  /**
   * Files that were refused just now: Uppy reports them before it reports that others were added.
   */
  const justShown = new Set<string>();

  uppy.on("upload-error", (file, error, response) => {
    if (response !== undefined && isShown(response)) return;
    const isKept = (error as { readonly code?: unknown }).code === "metadata-not-removed";
    if (file !== undefined) show(file.id, file.name ?? "", isKept ? texts.stripFailed : error.message);
  });
  // a file that is too large is not in the Dashboard; its line stays until others are added
  uppy.on("restriction-failed", (file, error) => show(file?.id ?? "", file?.name ?? "", error.message));
  uppy.on("files-added", () => {
    for (const id of lines.keys()) if (uppy.getFile(id) === undefined && !justShown.has(id)) remove(id);
  });
  uppy.on("upload-retry", (file) => remove(file.id));
  uppy.on("retry-all", () => [...lines.keys()].forEach(remove));
  uppy.on("file-removed", ({ id }) => remove(id));
  uppy.on("cancel-all", () => [...lines.keys()].forEach(remove));

  function show(id: string, name: string, reason: string): void {
    remove(id);
    // Uppy's own messages contain the name
    const text = reason.includes(name) ? reason : fill(texts.storedName, { name, outcome: reason });
    const line = make("li", { textContent: text });
    lines.set(id, line);
    justShown.add(id);
    setTimeout(() => justShown.delete(id));
    list.append(line);
    list.hidden = false;
    announce(text);
  }

  function remove(id: string): void {
    lines.get(id)?.remove();
    lines.delete(id);
    list.hidden = lines.size === 0;
  }
}
