import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { ErrorCode } from "../../src/index.ts";
import { BLOCKED_HEX, type Host, type HostName, MAX_APPEND_SIZE, MAX_OPEN, MAX_SIZE, TOKEN } from "../helpers/hosts.ts";
import { type RawAnswer, RawClient } from "../helpers/raw-client.ts";
import { fileHead, formOf, sha256 } from "../helpers/service.ts";

/** What every request sends behind its first bytes. It is stored in every host before the first exchange. */
const contentOf = (size: number): Buffer => Buffer.alloc(size, "fixity");

/** A request that is answered before its content has arrived. */
export interface Row {
  /** What the answer says, or `stored` for one that reports success. */
  readonly code: ErrorCode | "stored";
  readonly what: string;
  readonly status: number;
  /** The request line and fields, without those that frame the content. */
  readonly head: (place: Place) => readonly string[];
  /** The first bytes of the content, without which the answer does not come. */
  readonly start?: string;
  /** Bytes of the content that follow. A kept connection needs few of them. `null`: the row needs the other. */
  readonly rest?: { readonly few: number | null; readonly many: number | null };
  /** The answer comes only after the client has been silent for a while. */
  readonly isSilent?: boolean;
  /** Done when the first bytes have been sent, to bring the answer about. */
  readonly provoke?: Provocation;
  /** @default all but `local`, which is the standalone server without tokens */
  readonly hosts?: readonly HostName[];
  /** nginx does not pass on what provokes the answer. */
  readonly isDirectOnly?: boolean;
}

type Provocation = (host: Host, place: Place) => Promise<unknown>;

/** What a host holds for the rows. */
export interface Place {
  /** The id of an upload that nobody else in the matrix writes to. */
  readonly upload: string;
  /** The digest of a content that is stored, in hex: of the one that the request sends, without its first bytes. */
  readonly stored: string;
}

const NODE: readonly HostName[] = ["standalone", "express", "fastify"];
const FEW = 1000;
const MANY = 10_000_000;
const BOUNDARY = "----test-boundary";
const FORM = `Content-Type: multipart/form-data; boundary=${BOUNDARY}`;
const OTHER = sha256("another content");
const PARTIAL = ["Content-Type: application/partial-upload", "Upload-Complete: ?0"];
const TUS = ["Tus-Resumable: 1.0.0"];
const post =
  (...fields: string[]) =>
  () => ["POST /uploads HTTP/1.1", ...fields];
const form = (...parts: { head: string; content: string }[]): string => {
  const text = formOf(parts).body.toString();
  return text.slice(0, text.lastIndexOf(`\r\n--${BOUNDARY}--`));
};
const failing = (code: ErrorCode, status: number): Row => ({
  code,
  status,
  what: "a store that fails",
  head: post(`X-Test-Fail: ${code}`),
});

/** Every code that an early answer can have, each in the situations that differ in how far the content has been read. */
export const ROWS: readonly Row[] = [
  {
    code: "stored",
    status: 200,
    what: "a PUT of what is there",
    head: ({ stored }) => [`PUT /uploads/${stored} HTTP/1.1`],
  },
  {
    code: "invalid-digest",
    status: 400,
    what: "metadata of a tus upload",
    head: post(
      ...TUS,
      "Upload-Length: 20000000",
      `Upload-Metadata: sha256 ${btoa("nonsense")}`,
      "Content-Type: application/offset+octet-stream",
    ),
  },
  {
    code: "invalid-link",
    status: 400,
    what: "a PUT to half a digest",
    head: () => ["PUT /uploads/sha256:abc HTTP/1.1"],
  },
  { code: "blob-not-found", status: 404, what: "a GET", hosts: NODE, head: () => [`GET /uploads/${OTHER} HTTP/1.1`] },
  { code: "blob-blocked", status: 451, what: "a PUT", head: () => [`PUT /uploads/${BLOCKED_HEX} HTTP/1.1`] },
  {
    code: "range-not-satisfiable",
    status: 416,
    what: "a GET",
    hosts: NODE,
    head: ({ stored }) => [`GET /uploads/${stored} HTTP/1.1`, "Range: bytes=99999999-"],
  },
  {
    code: "precondition-failed",
    status: 412,
    what: "a GET",
    hosts: NODE,
    head: ({ stored }) => [`GET /uploads/${stored} HTTP/1.1`, `If-Match: "${OTHER}"`],
  },
  {
    code: "precondition-failed",
    status: 412,
    what: "a PUT",
    head: ({ stored }) => [`PUT /uploads/${stored} HTTP/1.1`, "If-None-Match: *"],
  },
  {
    code: "unsupported-media-type",
    status: 415,
    what: "URL-encoded content",
    head: post("Content-Type: application/x-www-form-urlencoded"),
  },
  {
    code: "digest-mismatch",
    status: 422,
    what: "two digests",
    head: ({ stored }) => [
      `PUT /uploads/${OTHER} HTTP/1.1`,
      `Repr-Digest: sha-256=:${Buffer.from(stored, "hex").toString("base64")}:`,
    ],
  },
  { code: "size-limit-exceeded", status: 413, what: "a length", rest: { few: null, many: MAX_SIZE + 1 }, head: post() },
  {
    code: "size-limit-exceeded",
    status: 413,
    what: "an upload's length",
    head: post(...TUS, "Upload-Length: 1000000000000", "Content-Type: application/offset+octet-stream"),
  },
  { code: "upload-stalled", status: 408, what: "content", isSilent: true, start: "some", head: post() },
  {
    code: "upload-stalled",
    status: 408,
    what: "a form",
    isSilent: true,
    head: post(FORM),
    start: form({ head: fileHead(), content: "some" }),
  },
  {
    code: "upload-not-found",
    status: 404,
    what: "an append",
    head: () => [`PATCH /uploads/in-progress/${"0".repeat(32)} HTTP/1.1`, "Upload-Offset: 0", ...PARTIAL],
  },
  {
    code: "upload-superseded",
    status: 409,
    what: "an append",
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, "Upload-Offset: 0", ...PARTIAL],
    start: "s".repeat(200),
    provoke: takeOver,
  },
  {
    code: "offset-mismatch",
    status: 409,
    what: "an append",
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, "Upload-Offset: 7", ...PARTIAL],
  },
  {
    code: "inconsistent-length",
    status: 400,
    what: "a creation",
    head: post("Upload-Complete: ?1", "Upload-Length: 1"),
  },
  {
    code: "append-limit-exceeded",
    status: 413,
    what: "an append",
    rest: { few: null, many: MAX_APPEND_SIZE + 1 },
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, "Upload-Offset: 0", ...PARTIAL],
  },
  {
    code: "append-too-small",
    status: 400,
    what: "an append",
    rest: { few: 50, many: null },
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, "Upload-Offset: 0", ...PARTIAL],
  },
  {
    code: "too-many-uploads",
    status: 503,
    what: "a creation",
    head: post(...TUS, "Upload-Length: 10000000", "Content-Type: application/offset+octet-stream"),
    rest: { few: FEW, many: 9_000_000 },
  },
  failing("too-many-requests", 429),
  failing("store-full", 507),
  {
    ...failing("store-full", 507),
    what: "a store that fails, in a form",
    head: post(FORM, "X-Test-Fail: store-full"),
    start: form({ head: fileHead(), content: "some" }),
  },
  failing("store-unavailable", 503),
  failing("store-misconfigured", 500),
  failing("store-busy", 503),
  failing("blob-damaged", 500),
  failing("upload-damaged", 410),
  failing("internal-error", 500),
  {
    code: "not-found",
    status: 404,
    what: "another address",
    hosts: ["standalone"],
    head: () => ["POST /nowhere HTTP/1.1"],
  },
  { code: "not-found", status: 404, what: "no link", head: () => ["PATCH /uploads/nonsense HTTP/1.1"] },
  {
    code: "precondition-failed",
    status: 412,
    what: "a PUT to a name",
    head: () => ["PUT /uploads/a.txt HTTP/1.1", "If-Match: *"],
  },
  { code: "method-not-allowed", status: 405, what: "a PATCH", head: () => ["PATCH /uploads HTTP/1.1"] },
  {
    code: "invalid-request",
    status: 400,
    what: "a second Host",
    hosts: ["standalone"],
    isDirectOnly: true,
    head: post("Host: y"),
  },
  {
    code: "invalid-field",
    status: 400,
    what: "an append without an offset",
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, ...PARTIAL],
  },
  { code: "unsupported-content-encoding", status: 415, what: "gzip", head: post("Content-Encoding: gzip") },
  {
    code: "unsupported-media-type",
    status: 415,
    what: "an append",
    head: ({ upload }) => [`PATCH /uploads/in-progress/${upload} HTTP/1.1`, "Upload-Offset: 0", "Upload-Complete: ?0"],
  },
  { code: "unsupported-version", status: 412, what: "another tus", head: post("Tus-Resumable: 0.2.0") },
  { code: "unsupported-digest", status: 400, what: "MD5", head: post("Repr-Digest: md5=:AAAA:") },
  {
    code: "unsupported-expectation",
    status: 417,
    what: "wonders",
    hosts: ["standalone"],
    isDirectOnly: true,
    head: post("Expect: wonders"),
  },
  { code: "malformed-form", status: 400, what: "another boundary", head: post(FORM), start: "x".repeat(66_000) },
  { code: "malformed-form", status: 400, what: "no boundary", head: post("Content-Type: multipart/form-data") },
  {
    code: "form-limit-exceeded",
    status: 400,
    what: "a large field",
    head: post(FORM),
    start: form({ head: 'Content-Disposition: form-data; name="note"', content: "x".repeat(66_000) }),
  },
  {
    code: "unexpected-file",
    status: 400,
    what: "a second one",
    head: post(FORM),
    start: form({ head: fileHead("a"), content: "1" }, { head: fileHead("b"), content: "2" }),
  },
  {
    code: "unauthorized",
    status: 401,
    what: "no token",
    head: () => ["POST /uploads HTTP/1.1", "Authorization: none"],
  },
  {
    code: "forbidden",
    status: 403,
    what: "a refusal",
    hosts: ["express", "fastify", "fetch"],
    head: post("X-Test-Refuse: forbidden"),
  },
  ...(
    [
      ["access-expired", 403],
      ["permit-used", 403],
      ["principal-limit-exceeded", 429],
      ["type-not-allowed", 415],
    ] as const
  ).map(([code, status]) => ({
    code,
    status,
    what: "a refusal",
    hosts: ["express", "fastify", "fetch"] as const,
    head: post(`X-Test-Refuse: ${code}`),
  })),
  {
    code: "cross-site-request",
    status: 403,
    what: "a page of another site",
    hosts: ["express", "fastify", "fetch", "local"],
    head: post("Authorization: none", "Origin: https://other.example"),
  },
  {
    code: "unknown-host",
    status: 421,
    what: "a name that is not known",
    hosts: ["local"],
    isDirectOnly: true,
    head: post("Host: other.example"),
  },
  {
    code: "shutting-down",
    status: 503,
    what: "a stop",
    hosts: ["standalone"],
    head: post("X-Test-Fail: shutting-down"),
  },
  {
    code: "shutting-down",
    status: 503,
    what: "a stop",
    hosts: ["express", "fastify", "fetch"],
    head: post("X-Test-Refuse: shutting-down"),
  },
];

/** Codes that no early answer has, and why. */
export const NEVER_EARLY: Readonly<Partial<Record<ErrorCode, string>>> = {
  "invalid-option": "is reported at the start, to whoever configures the service",
  "missing-file": "is known only at the end of a form, or answers a request without content",
  "length-mismatch": "is known only at the end of the content",
  "checksum-mismatch": "is known only at the end of the content",
  "content-refused": "is known only at the end of the content",
  "link-expired": "answers reads, which have no content",
  "upload-aborted": "answers a client that has stopped sending for good",
  "headers-too-large": "answers a header section: what follows is no content (see test/server/half-open.test.ts)",
  "unsupported-transfer-coding":
    "frames its content itself, and always closes (see test/protocol/refused-content.test.ts)",
  "unsupported-runtime": "is thrown when the package is loaded",
  "event-rejected": "is a failure of a webhook's receiver",
  "content-already-read": "is answered when the whole content has arrived (see test/protocol/content-used.test.ts)",
};

/** How many cells are run at a time. For the tests that call {@link runCells}. */
export const CONCURRENT = { concurrency: 16 } as const;

/** How the client goes on after the first bytes. */
export const MANNERS = ["at once", "in pieces", "slowly", "never"] as const;
export type Manner = (typeof MANNERS)[number];

/** One cell of the matrix. */
export interface Cell {
  readonly row: Row;
  readonly manner: Manner;
  /** Bytes of content behind the first ones. */
  readonly rest: number;
  readonly via: "direct" | "nginx";
}

/** The cells of some rows in one host. */
export function cellsOf(host: HostName, { manners = MANNERS, rows = ROWS, via = "direct" }: CellChoice = {}): Cell[] {
  return rows
    .filter((row) => (row.hosts?.includes(host) ?? host !== "local") && (via === "direct" || row.isDirectOnly !== true))
    .flatMap((row) => {
      const { few, many } = row.rest ?? { few: FEW, many: MANY };
      return [few, many]
        .filter((rest) => rest !== null)
        .flatMap((rest) => manners.map((manner) => ({ row, manner, rest, via })));
    });
}

export interface CellChoice {
  readonly manners?: readonly Manner[];
  readonly rows?: readonly Row[];
  readonly via?: Cell["via"];
}

const furnished = new WeakMap<Host, Promise<(cell: Cell) => Place>>();

/** Stores what the rows expect, and begins as many uploads as there may be. */
async function furnish(host: Host): Promise<(cell: Cell) => Place> {
  for (const size of [FEW, MANY]) await host.fixity.put(contentOf(size));
  const { uploads } = host.fixity;
  assert.ok(uploads !== null);
  const ids: string[] = [];
  while (ids.length < MAX_OPEN) ids.push((await uploads.create({})).id.hex);
  let next = 0;
  const stored = new Map([FEW, MANY].map((size) => [size, sha256(contentOf(size))]));
  return ({ row, rest }) => ({
    // what has been appended to is used up
    upload: (row.provoke === undefined ? ids[next++ % 10] : ids.pop()) ?? assert.fail("no upload is left"),
    stored: stored.get(rest) ?? OTHER,
  });
}

function furnishedOnce(host: Host): Promise<(cell: Cell) => Place> {
  const known = furnished.get(host) ?? furnish(host);
  furnished.set(host, known);
  return known;
}

/** Runs every cell as a test of its own. `port` is that of the host, or of a proxy in front of it. */
export async function runCells(t: TestContext, host: Host, port: number, cells: readonly Cell[]): Promise<void> {
  const place = await furnishedOnce(host);
  await Promise.all(
    cells.map((cell) => {
      const { row, rest, manner } = cell;
      const title = `${row.code} (${row.what}), ${rest} bytes ${manner}`;
      return t.test(title, { timeout: 120_000 }, () => exercise(host, port, cell, place(cell)));
    }),
  );
}

/**
 * Sends the request, and holds the answer against the row; then, directly, the connection against the answer: it serves
 * the next request exactly when it was promised to.
 */
export async function exercise(
  host: Host,
  port: number,
  { row, manner, rest, via }: Cell,
  place: Place,
): Promise<void> {
  await using client = await RawClient.open(port);
  let failure: Error | null = null;
  client.socket.on("error", (error) => (failure = error));
  const id = crypto.randomUUID();
  const start = Buffer.from(row.start ?? "");
  const content = contentOf(rest);
  const lines = [...row.head(place), `X-Test-Id: ${id}`, `Content-Length: ${start.length + rest}`];
  if (!lines.some((line) => line === "Host: other.example")) lines.push("Host: localhost");
  if (!lines.some((line) => line.startsWith("Authorization:"))) lines.push(`Authorization: Bearer ${TOKEN}`);
  const isWaiting = row.isSilent === true || row.provoke !== undefined;
  // a client that reads nothing before it has sent everything
  if (manner === "at once") client.socket.pause();
  await client.send(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), start]));
  if (row.provoke !== undefined) await provoked(row.provoke, host, place, id);
  if (isWaiting) await host.answered(id);
  let answer: RawAnswer | null = null;
  if (manner === "at once") {
    await client.send(content);
    client.socket.resume();
  } else if (manner === "in pieces") {
    const size = Math.ceil(rest / 8);
    for (let from = 0; from < rest; from += size) {
      await client.send(content.subarray(from, from + size));
      await pause(1);
    }
  } else {
    answer = await client.answer();
    if (manner === "slowly") {
      const size = Math.ceil(rest / 4);
      for (let from = 0; from < rest; from += size) {
        await client.send(content.subarray(from, from + size));
        await pause(300);
      }
    }
  }
  answer ??= await client.answer();
  const told = JSON.parse(answer.body.toString()) as { code?: string };
  assert.deepEqual([answer.status, told.code ?? "stored"], [row.status, row.code]);
  if (via === "nginx") return;
  const keeps = answer.fields.get("connection") !== "close";
  assert.equal(keeps, rest <= 65_536 && row.status !== 408 && row.code !== "invalid-request", "says whether it stays");
  if (manner === "never" || !keeps) {
    await client.closed();
  } else {
    await client.send(`OPTIONS /uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    assert.equal((await client.answer()).status, 204, "serves the next request");
  }
  assert.equal(failure, null, "no reset");
}

/** Behind a proxy, what provokes the answer may arrive before the request itself. */
async function provoked(provoke: Provocation, host: Host, place: Place, id: string): Promise<void> {
  const answered = host.answered(id).then(() => true);
  do await provoke(host, place);
  while (!(await Promise.race([answered, pause(100, false)])));
}

/** Another request for the upload that is being appended to, until the first one has been called away. */
async function takeOver(host: Host, { upload }: Place): Promise<void> {
  await using client = await RawClient.open(host.port);
  const fields = [
    "Host: x",
    `Authorization: Bearer ${TOKEN}`,
    "Upload-Offset: 1000000",
    "Content-Length: 200",
    ...PARTIAL,
  ];
  await client.send(
    `PATCH /uploads/in-progress/${upload} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n${"t".repeat(200)}`,
  );
  assert.equal((await client.answer()).status, 409);
}
