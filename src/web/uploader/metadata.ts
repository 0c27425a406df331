import type { PrepareFile } from "../../client.ts";
import { find } from "../dom.ts";
import { read, write } from "../storage.ts";

/** Present if the user wants metadata to be removed. */
const STRIP_KEY = "fixity:strip-metadata";

/**
 * The user's choice to remove metadata from photos before they are sent. A photo or video from which
 * it cannot be removed is not sent.
 */
export function metadataRemoval(): PrepareFile {
  const choice = find(document, "#strip", HTMLInputElement);
  choice.checked = read("device", STRIP_KEY) !== null;
  choice.addEventListener("change", () => write("device", STRIP_KEY, choice.checked ? "on" : null));
  return async (file, { signal }) => {
    if (!choice.checked) return file;
    const { stripMetadata } = await import("../../client/strip-metadata.ts");
    return stripMetadata(file, { signal });
  };
}
