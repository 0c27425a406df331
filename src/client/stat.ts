import { FixityClientError } from "./errors.ts";
import { base64OfHex, formatReprDigest, parseInteger } from "./formats.ts";
import { textOf } from "./fetch-transport.ts";
import { type ParsedLink, parseLink } from "./links.ts";
import type { WireAnswer } from "./platform.ts";
import { errorIn } from "./answers.ts";
import { abortion, asClientError, type Service } from "./service.ts";
import type { BlobInfo } from "./types.ts";

/**
 * Asks for the bytes as they are, because the size of a compressed answer is not known beforehand. Browsers do not let a page
 * set this field.
 */
export const UNCOMPRESSED: Readonly<Record<string, string>> = { "Accept-Encoding": "identity" };

/** What is stored under a link; `null` where nothing is. @throws FixityClientError */
export async function stat(service: Service, link: string | URL, signal: AbortSignal): Promise<BlobInfo | null> {
  const parsed = parseLink(link, service.endpoint);
  try {
    const answer = await service.send({ method: "HEAD", url: parsed.url, headers: UNCOMPRESSED, signal });
    if (!namesDigest(answer, parsed)) throw notOurs(answer);
    const info = headIn(parsed, answer);
    return { ...info, size: info.size ?? (await sizeOf(service, parsed, signal)) };
  } catch (error) {
    if (!(error instanceof FixityClientError) || error.status !== 404) throw error;
    // an answer to HEAD has no problem in it that would tell a missing file from an address that is none of a service
    if (await isOurs(service, parsed, signal)) return null;
    throw error;
  }
}

/** The size of a file, of which a proxy that compresses sends none: from the answer to a range, which proxies leave as it is. */
async function sizeOf(service: Service, link: ParsedLink, signal: AbortSignal): Promise<number> {
  const { size } = headIn(link, await askForByte(service, link, signal));
  if (size !== null) return size;
  throw new FixityClientError("unexpected-answer", "The server does not tell the file's size.", { status: 200 });
}

/** Whether it is fixity that has nothing under a link. */
async function isOurs(service: Service, link: ParsedLink, signal: AbortSignal): Promise<boolean> {
  try {
    await askForByte(service, link, signal);
    return true;
  } catch (error) {
    if (!(error instanceof FixityClientError) || error.status !== 404) throw error;
    return error.code === "blob-not-found";
  }
}

/** Asks for one byte of a file, and reads nothing of what comes but the header section. @throws FixityClientError */
async function askForByte(
  service: Service,
  { url }: ParsedLink,
  signal: AbortSignal,
): Promise<Pick<WireAnswer, "status" | "field">> {
  try {
    const response = await service.open(url, { ...UNCOMPRESSED, Range: "bytes=0-0" }, signal);
    const { status, headers } = response;
    const answer = { status, field: (name: string) => headers.get(name) };
    if (!response.ok) throw errorIn({ ...answer, text: await textOf(response) });
    void response.body?.cancel().catch(() => null);
    return answer;
  } catch (error) {
    throw signal.aborted ? abortion(signal) : asClientError(error);
  }
}

/** A page that a site gives for every address says nothing of digests. */
function namesDigest({ field }: WireAnswer, { hex }: ParsedLink): boolean {
  return field("etag")?.includes(hex) === true || field("repr-digest")?.includes(formatReprDigest(hex)) === true;
}

function notOurs({ status }: WireAnswer): FixityClientError {
  return new FixityClientError("unexpected-answer", "The answer is not one of fixity.", { status });
}

/** What a header section says of a file. */
export type BlobHead = Omit<BlobInfo, "size"> & {
  /** `null` where a proxy has compressed the file, or sends it without a length. */
  readonly size: number | null;
};

/** Reads the header section of a successful answer to `GET` or `HEAD`. */
export function headIn({ url, hex }: ParsedLink, { status, field }: Pick<WireAnswer, "status" | "field">): BlobHead {
  const range = /^bytes \d+-\d+\/(\d+)$/.exec(field("content-range") ?? "");
  const isCoded = (field("content-encoding") ?? "identity").trim().toLowerCase() !== "identity";
  const size =
    status === 206 ? parseInteger(range?.[1] ?? null) : isCoded ? null : parseInteger(field("content-length"));
  const type = field("content-type") ?? "application/octet-stream";
  return { url, digest: `sha256:${hex}`, size, type, integrity: `sha256-${base64OfHex(hex)}` };
}
