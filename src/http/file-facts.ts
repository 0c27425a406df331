import { settleNaming } from "../core/file-name.ts";
import { mediaTypeOf } from "../core/media-type.ts";
import { fileNameOf } from "./fields/content-disposition.ts";
import { isForm, mediaTypeIn } from "./fields/content-type.ts";
import { metadataText, parseByteCount, parseUploadMetadata } from "./fields/tus-fields.ts";
import type { AdmittedRequest } from "./request.ts";
import type { Resource } from "./route.ts";
import { nameInSegment } from "./routes/upload.ts";

/** What a request states about the file that it uploads, before its content is read. */
export interface FileFacts {
  /** Bytes. */
  readonly size: number | null;
  /** The media type of the link to be. */
  readonly type: string | null;
  readonly name: string | null;
}

export const NO_FACTS: FileFacts = { size: null, type: null, name: null };

/**
 * What a request states about its file, for the embedder's `authorize`. A form names its file in its
 * content, so nothing is known of it. Malformed fields are taken for absent: the route refuses them
 * later.
 */
export function fileFactsOf(request: AdmittedRequest, resource: Resource): FileFacts {
  try {
    return factsOf(request, resource);
  } catch {
    return NO_FACTS;
  }
}

function factsOf({ exchange, query }: AdmittedRequest, resource: Resource): FileFacts {
  const { fields } = exchange;
  const contentType = fields.get("content-type");
  if (resource.kind === "upload" || isForm(contentType)) return NO_FACTS;
  const isTus = fields.get("tus-resumable") !== undefined;
  const size = finite(parseByteCount(fields.get("upload-length")));
  if (isTus && resource.kind === "collection") {
    const metadata = parseUploadMetadata(fields.get("upload-metadata"));
    const filename = metadataText(metadata, "filename", "name");
    return { size, ...named({ filename, type: metadataText(metadata, "filetype", "type") }) };
  }
  // The length of a resumable upload may be stated, or be that of its only request.
  const isPartial = fields.get("upload-complete")?.trim() === "?0";
  const announced = isPartial ? size : (size ?? finite(parseByteCount(fields.get("content-length"))));
  const type = mediaTypeIn(contentType);
  if (resource.kind === "link") return { size: announced, ...named({ extension: resource.target.extension }) };
  const filename =
    resource.kind === "name"
      ? nameInSegment(resource.target)
      : (fileNameOf(fields.get("content-disposition")) ?? query.get("filename"));
  return { size: announced, ...named({ filename, type }) };
}

function finite(value: number | null): number | null {
  return value === Infinity ? null : value;
}

function named(naming: Parameters<typeof settleNaming>[0]): Pick<FileFacts, "type" | "name"> {
  const { name, extension } = settleNaming(naming);
  return { name, type: mediaTypeOf(extension) };
}
