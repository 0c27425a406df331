import { cleanFileName, extensionOfName } from "./file-name.ts";
import { cleanExtension } from "./link.ts";
import { extensionOf } from "./media-type.ts";

/** What may be told of a file besides its bytes. */
export interface Naming {
  /** The file's name as its owner calls it; its extension becomes the link's. */
  readonly filename?: string | null | undefined;
  /** The declared media type. Gives the link an extension where the name has none; otherwise not believed. */
  readonly type?: string | null | undefined;
  /** The extension of the link, whatever name and type say. `null` for none. */
  readonly extension?: string | null | undefined;
}

/** The file's name, cleaned, and the extension that its link has; `null` for none. */
export function settleNaming({ filename, type, extension }: Naming): { name: string | null; extension: string | null } {
  const name = cleanFileName(filename);
  if (extension !== undefined) return { name, extension: cleanExtension(extension) };
  return { name, extension: extensionOfName(name) ?? (type === null || type === undefined ? null : extensionOf(type)) };
}
