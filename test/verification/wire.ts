/** What a client has received when its connection ended, and whether it can take that for all there is. */
import { connect } from "node:net";

/** A request without content. */
export interface WireRequest {
  /** @default "GET" */
  readonly method?: string;
  readonly target: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** @default "1.1" */
  readonly version?: "1.0" | "1.1";
}

/** What came back. */
export interface WireAnswer {
  /** 0 if the connection ended before the header section did. */
  readonly status: number;
  /** By lower-case name. */
  readonly fields: ReadonlyMap<string, string>;
  readonly content: Buffer;
  /** Whether the message was complete by its framing (RFC 9112, section 8). */
  readonly isComplete: boolean;
}

/** Sends one request on a connection of its own, and reads until the server ends it. */
export async function request(port: number, options: WireRequest): Promise<WireAnswer> {
  const { method = "GET", target, fields = {}, version = "1.1" } = options;
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks: Buffer[] = [];
  socket.on("data", (bytes) => chunks.push(bytes));
  const ended = new Promise((resolve) => socket.once("close", resolve));
  // A connection that is reset is one that ended early.
  socket.on("error", () => null);
  const lines = Object.entries({ Host: "files.test", Connection: "close", ...fields }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`${method} ${target} HTTP/${version}\r\n${lines.join("")}\r\n`);
  await ended;
  return parse(Buffer.concat(chunks), method);
}

function parse(received: Buffer, method: string): WireAnswer {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return { status: 0, fields: new Map(), content: Buffer.alloc(0), isComplete: false };
  const [statusLine = "", ...lines] = received.toString("latin1", 0, end).split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const fields = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const rest = received.subarray(end + 4);
  if (method === "HEAD" || status === 304 || status === 204) {
    return { status, fields, content: Buffer.alloc(0), isComplete: true };
  }
  if (fields.get("transfer-encoding") === "chunked") return { status, fields, ...unchunked(rest) };
  const length = fields.get("content-length");
  // Without either, the end of the connection is the end of the content.
  const isComplete = length === undefined || rest.length >= Number(length);
  return { status, fields, content: rest.subarray(0, length === undefined ? undefined : Number(length)), isComplete };
}

function unchunked(rest: Buffer): { readonly content: Buffer; readonly isComplete: boolean } {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd === -1) break;
    const size = Number.parseInt(rest.toString("latin1", at, lineEnd), 16);
    if (size === 0) return { content: Buffer.concat(chunks), isComplete: true };
    const start = lineEnd + 2;
    if (start + size > rest.length) break;
    chunks.push(rest.subarray(start, start + size));
    at = start + size + 2;
  }
  return { content: Buffer.concat(chunks), isComplete: false };
}

/** Some bytes of a file, as a response names them. */
export interface WirePart {
  readonly start: number;
  /** The size of the whole file. */
  readonly size: number;
  readonly bytes: Buffer;
}

/** The parts of the file in a complete response with status 200 or 206. */
export function partsOf({ status, fields, content }: WireAnswer): readonly WirePart[] {
  if (status === 200) return [{ start: 0, size: content.length, bytes: content }];
  const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(fields.get("content-type") ?? "")?.[1];
  if (boundary === undefined) return [partOf(fields.get("content-range") ?? "", content)];
  const parts: WirePart[] = [];
  let at = 0;
  for (;;) {
    const head = content.indexOf("\r\n\r\n", at);
    if (head === -1) return parts;
    const range = /Content-Range: (bytes .*)/.exec(content.toString("latin1", at, head))?.[1] ?? "";
    const { start, size } = partOf(range, content);
    const length = Number(/-(\d+)\//.exec(range)?.[1]) + 1 - start;
    parts.push({ start, size, bytes: content.subarray(head + 4, head + 4 + length) });
    at = head + 4 + length;
  }
}

function partOf(range: string, bytes: Buffer): WirePart {
  const [, start, , size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range) ?? [];
  return { start: Number(start), size: Number(size), bytes };
}
