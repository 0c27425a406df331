import type { PresignedUrl, PresignOptions } from "../../core/presigning.ts";
import type { S3Client } from "./api/client.ts";

/** A URL under which anybody can read an object; `says` becomes part of what is signed ("GetObject", response-… parameters). */
export async function presignObject(
  client: S3Client,
  key: string,
  { lifetime, says }: PresignOptions,
): Promise<PresignedUrl> {
  const query = {
    "response-content-type": says.contentType,
    ...(says.contentDisposition !== undefined && { "response-content-disposition": says.contentDisposition }),
    ...(says.cacheControl !== undefined && { "response-cache-control": says.cacheControl }),
  };
  return client.presign({ operation: "GetObject", method: "GET", key, query }, lifetime);
}
