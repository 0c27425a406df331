/** Requests whose responses must not differ between a service with delegated downloads and one without. */
import assert from "node:assert/strict";
import type { Fixity } from "../../src/index.ts";
import type { Report } from "../../src/node.ts";
import type { Answer, Exchange } from "../../src/http/exchange.ts";
import { sha256 } from "../helpers/service.ts";

/** Not a multiple of anything. */
export const BYTES: Buffer = Buffer.from(Array.from({ length: 70_001 }, (_, index) => (index * 7) % 251));
const LINK = sha256(BYTES);
const ETAG = `"${LINK}"`;
const OTHER = `"${sha256("other")}"`;

/** One request, which the service delegates to the server in front or answers itself. */
interface Question {
  readonly by: "others" | "us";
  readonly method?: string;
  /** The end of the target, after the digest. */
  readonly tail?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Names that could break header fields or confuse their readers. */
const HOSTILE_NAMES = [
  "Übersicht 報告.pdf",
  'quote".txt',
  "semi;colon.txt",
  "back\\slash.txt",
  "per%25cent%0d%0aX-Evil: 1.txt",
  "line\r\nX-Evil: 1.txt",
  "../../../etc/passwd",
  "\u202Egnp.exe",
  "emoji 👩‍👩‍👧.png",
  "a".repeat(400),
];

const PLAIN_RANGES = ["0-0", "0-70000", "10-", "-5", "-100000", "69990-99999", "1000-1999"];
/** Ranges that are unsatisfiable, multiple, or parsed differently by servers. */
const OTHER_RANGES = [
  "bytes=-0",
  "bytes=70001-",
  "bytes=5-2",
  "bytes=0-1,100-200",
  "bytes=0-99,50-149",
  "bytes=0-1,",
  "bytes= 0-1",
  "Bytes=0-1",
  "bytes=a-b",
  "bytes=0-1-2",
  "bytes=99999999999999999999-",
  "bytes=0-99999999999999999999",
  "lines=0-1",
];

const YESTERDAY = new Date(Date.now() - 86_400_000).toUTCString();
const TOMORROW = new Date(Date.now() + 86_400_000).toUTCString();

export const QUESTIONS: readonly Question[] = [
  ...["", ".png", ".txt", ".bin", ".mp4"].map((tail) => ({ by: "others", tail }) as const),
  // files that browsers would run are downloaded
  ...[".html", ".svg", ".xml", ".pdf", ".js"].map((tail) => ({ by: "others", tail }) as const),
  ...[".css", ".mjs", ".xsl", ".wasm"].map((tail) => ({ by: "others", tail }) as const),
  { by: "others", tail: ".js", headers: { "sec-fetch-dest": "script", "sec-fetch-site": "cross-site" } },
  // no file is loaded as code of a page
  { by: "us", tail: ".js", headers: { "sec-fetch-dest": "script", "sec-fetch-site": "same-origin" } },
  { by: "us", tail: ".png", headers: { "service-worker": "script" } },
  { by: "us", tail: ".js", headers: { "if-none-match": ETAG } },
  { by: "others", tail: ".png?download" },
  // the page about a file is not the file
  { by: "us", tail: ".png?view" },
  { by: "us", tail: ".png?view", headers: { range: "bytes=0-9" } },
  { by: "us", tail: ".html?view&filename=a.html", method: "HEAD" },
  ...HOSTILE_NAMES.map(
    (name) => ({ by: "others", tail: `.html?filename=${encodeURIComponent(name.toWellFormed())}` }) as const,
  ),
  ...PLAIN_RANGES.map((range) => ({ by: "others", headers: { range: `bytes=${range}` } }) as const),
  ...PLAIN_RANGES.map((range) => ({ by: "others", headers: { range: `bytes=${range}`, "if-range": ETAG } }) as const),
  { by: "us", headers: { range: "bytes=0-9", "if-range": OTHER } },
  { by: "us", headers: { range: "bytes=0-9", "if-range": `W/${ETAG}` } },
  { by: "us", headers: { range: "bytes=0-9", "if-range": YESTERDAY } },
  ...OTHER_RANGES.map((range) => ({ by: "us", headers: { range } }) as const),
  { by: "us", headers: { "if-none-match": ETAG } },
  { by: "us", headers: { "if-none-match": `W/${ETAG}, ${OTHER}` } },
  { by: "us", headers: { "if-none-match": "*" } },
  { by: "others", headers: { "if-none-match": OTHER } },
  { by: "us", headers: { "if-match": ETAG } },
  { by: "us", headers: { "if-match": OTHER } },
  { by: "us", headers: { "if-modified-since": TOMORROW } },
  { by: "us", headers: { "if-unmodified-since": YESTERDAY } },
  { by: "others", headers: { "want-repr-digest": "sha-256=0" } },
  { by: "others", headers: { "accept-encoding": "gzip, br" }, tail: ".txt" },
  { by: "others", headers: { authorization: "Bearer somebody", cookie: "a=b", origin: "https://app.example.com" } },
  { by: "us", method: "HEAD", tail: ".html?filename=a.html" },
  { by: "us", method: "HEAD", headers: { range: "bytes=0-1" } },
];

/** A sentence for a test's name. */
export function nameOf({ by, method = "GET", tail = "", headers = {} }: Question): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const asked = [`${method} …${tail.length > 60 ? `${tail.slice(0, 60)}…` : tail}`, ...fields].join(", ");
  return `${asked}: answered by ${by}, as if streamed`.replaceAll(LINK, "<digest>");
}

/** Fields that describe the file and how browsers may use it. */
const FIELDS = [
  "accept-ranges",
  "access-control-allow-origin",
  "access-control-expose-headers",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-length",
  "content-range",
  "content-security-policy",
  "content-type",
  "cross-origin-resource-policy",
  "etag",
  "last-modified",
  "repr-digest",
  "vary",
  "x-accel-redirect",
  "x-blob-cache-control",
  "x-content-type-options",
  "x-evil",
];

/** How a request was answered. */
export interface Sent {
  /** Whether it was delegated. */
  readonly passedOn: boolean;
  /** Bytes that the service has sent itself. */
  readonly bytes: number;
}

/** Records the service's reports about its responses, which may arrive after the client has them. */
export class Ledger {
  #waiting: ((sent: Sent) => void) | null = null;

  readonly onAnswer = (_: Exchange, { fields }: Answer, { bytesSent }: Report): void => {
    this.#waiting?.({ passedOn: fields["X-Accel-Redirect"] !== undefined, bytes: bytesSent });
  };

  /** Resolves with the report about the next response. */
  next(): Promise<Sent> {
    const { promise, resolve } = Promise.withResolvers<Sent>();
    this.#waiting = resolve;
    return promise;
  }
}

/** Stores the file that the requests are for. */
export async function storeSubject(fixity: Fixity): Promise<void> {
  await fixity.put(BYTES);
  await fixity.put(Buffer.alloc(0));
}

/** Sends a request to both services and compares their responses. */
export async function assertSame(
  streamed: string,
  delegated: string,
  question: Question,
  ledger: Ledger,
): Promise<void> {
  const { method = "GET", tail = "", headers = {} } = question;
  const path = `/uploads/${LINK}${tail}`;
  const expected = await ask(streamed + path);
  const sent = ledger.next();
  assert.deepEqual(await ask(delegated + path), expected);
  const { passedOn, bytes } = await sent;
  assert.equal(passedOn, question.by === "others");
  if (passedOn) assert.equal(bytes, 0);

  async function ask(url: string) {
    const answer = await fetch(url, { method, headers });
    const boundary = /boundary=(\w+)/.exec(answer.headers.get("content-type") ?? "")?.[1] ?? "no boundary";
    const bytes = Buffer.from(await answer.arrayBuffer())
      .toString("latin1")
      .replaceAll(boundary, "<boundary>");
    const fields = FIELDS.map((name) => [name, answer.headers.get(name)?.replace(boundary, "<boundary>") ?? null]);
    return {
      status: answer.status,
      // Only responses with the file itself announce Accept-Ranges.
      fields: Object.fromEntries(
        fields.filter(([name]) => answer.status === 200 || answer.status === 206 || name !== "accept-ranges"),
      ),
      // short enough for the message of a failure
      bytes: bytes.length < 300 ? bytes : `${bytes.length} of SHA-256 ${sha256(bytes)}`,
    };
  }
}
