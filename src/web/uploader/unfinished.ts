import type { Body, Meta, Uppy } from "@uppy/core";
import { recallList, remember } from "../tab-storage.ts";

const KEY = "unfinished";
/** Names that are told, at most. */
const TOLD = 3;

/**
 * Remembers for this tab what was under way when its page was left. The client goes on with such files where they stopped,
 * but no page may open them by itself: they have to be chosen again.
 *
 * @returns the names of those that an earlier page has left
 */
export function watchUnfinished<M extends Meta, B extends Body>(uppy: Uppy<M, B>): readonly string[] {
  const left = recallList(KEY).map(String);
  const names = new Map<string, string>();
  const keep = (): void => remember(KEY, JSON.stringify([...names.values()]));
  uppy.on("upload-start", (files) => {
    for (const { id, name } of files) names.set(id, name ?? id);
    keep();
  });
  const drop = (id: string | undefined): void => {
    if (id !== undefined && names.delete(id)) keep();
  };
  uppy.on("upload-success", (file) => drop(file?.id));
  uppy.on("file-removed", ({ id }) => drop(id));
  return left.length > TOLD ? [...left.slice(0, TOLD), "…"] : left;
}
