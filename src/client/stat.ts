import { FixityClientError } from "./errors.ts";
import { base64OfHex, formatReprDigest, parseInteger } from "./fields.ts";
import { type ParsedLink, parseLink } from "./links.ts";
import type { WireAnswer } from "./platform.ts";
import type { Service } from "./service.ts";
import type { BlobInfo } from "./types.ts";

/** What is stored under a link; `null` where nothing is. @throws FixityClientError */
export async function stat(service: Service, link: string | URL, signal: AbortSignal): Promise<BlobInfo | null> {
  const parsed = parseLink(link, service.endpoint);
  try {
    // a compressed answer would not tell the size
    const headers = { "Accept-Encoding": "identity" };
    const answer = await service.send({ method: "HEAD", url: parsed.url, headers, signal });
    if (!namesDigest(answer, parsed)) throw notOurs(answer);
    return infoIn(parsed, answer);
  } catch (error) {
    if (!(error instanceof FixityClientError) || error.status !== 404) throw error;
    // an answer to HEAD has no problem in it that would tell a missing file from an address that is none of a service
    if (await isOurs(service, parsed, signal)) return null;
    throw error;
  }
}

/** Whether it is fixity that has nothing under a link. */
async function isOurs(service: Service, { url }: ParsedLink, signal: AbortSignal): Promise<boolean> {
  try {
    // one byte, should it be there by now
    await service.send({ method: "GET", url, headers: { Range: "bytes=0-0" }, signal });
    return true;
  } catch (error) {
    if (!(error instanceof FixityClientError) || error.status !== 404) throw error;
    return error.code === "blob-not-found";
  }
}

/** A page that a site gives for every address says nothing of digests. */
function namesDigest({ field }: WireAnswer, { hex }: ParsedLink): boolean {
  return field("etag")?.includes(hex) === true || field("repr-digest")?.includes(formatReprDigest(hex)) === true;
}

function notOurs({ status }: WireAnswer): FixityClientError {
  return new FixityClientError("unexpected-answer", "The answer is not one of fixity.", { status });
}

/** Reads the header section of an answer to `GET` or `HEAD`. @throws FixityClientError `unexpected-answer` */
export function infoIn(
  { url, hex }: ParsedLink,
  { status, field }: { readonly status: number; readonly field: (name: string) => string | null },
): BlobInfo {
  const range = /^bytes \d+-\d+\/(\d+)$/.exec(field("content-range") ?? "");
  const size = parseInteger(status === 206 ? (range?.[1] ?? null) : field("content-length"));
  if (size === null)
    throw new FixityClientError("unexpected-answer", "The server does not tell the file's size.", { status });
  const type = field("content-type") ?? "application/octet-stream";
  return { url, digest: `sha256:${hex}`, size, type, integrity: `sha256-${base64OfHex(hex)}` };
}
