import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { heapOf } from "../helpers/heap.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { settled } from "../helpers/settled.ts";

const REQUESTS = isFullRun ? 20_000 : 1000;
const CONCURRENCY = 24;
/** Milliseconds within which every connection must be ended by the server, once the client has ended its side. */
const PATIENCE_MS = 60_000;
/** Most bytes that a request may leave in memory, garbage aside, on an average: some begin uploads, and code is compiled. */
const MAX_GROWTH_BYTES = 2000;
/** Longest request, in bytes. */
const MAX_LENGTH = 200_000;

/** Codes of server failures that a request can bring about. Any other 5xx is a fault. */
const EXPECTED_5XX = new Set(["unsupported-transfer-coding"]);

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** What the corpus refers to. */
interface Place {
  /** The link of a stored file. */
  readonly link: string;
  /** The address of an upload that exists. */
  readonly upload: string;
}

const CONTENT = "the content of a file";
const DIGEST = createHash("sha256").update(CONTENT).digest();

/** Valid requests, one of each kind, for the mutations to begin from. */
function corpus({ link, upload }: Place): readonly string[] {
  const length = CONTENT.length;
  const digestField = `Repr-Digest: sha-256=:${DIGEST.toString("base64")}:`;
  const form = [
    '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\ntext',
    '\r\n--b\r\nContent-Disposition: form-data; name="upload"; filename="a b.png"\r\nContent-Type: image/png\r\n\r\n',
    `${CONTENT}\r\n--b--\r\n`,
  ].join("");
  const chunks = `5\r\nhello\r\n0\r\nRepr-Digest: sha-256=:${DIGEST.toString("base64")}:\r\n\r\n`;
  const requests: readonly (readonly [line: string, fields: readonly string[], content?: string])[] = [
    [`GET ${link} HTTP/1.1`, ["Range: bytes=0-3,5-6", "Accept: */*", 'If-None-Match: "a", W/"b"', "Accept-Encoding: gzip;q=1, br"]],
    [`HEAD ${link}?download&filename=a.png HTTP/1.1`, ['If-Range: "a"', "Range: bytes=-5", "Want-Repr-Digest: sha-256=1"]],
    [`GET ${link}?view HTTP/1.1`, ["Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"]],
    [`GET ${link} HTTP/1.0`, []],
    [`POST /uploads?filename=photo.jpeg HTTP/1.1`, ["Content-Type: image/jpeg", `Content-Length: ${length}`, digestField], CONTENT],
    [`POST /uploads HTTP/1.1`, ["Content-Type: multipart/form-data; boundary=b", `Content-Length: ${form.length}`], form],
    [`POST /uploads HTTP/1.1`, ["Content-Disposition: attachment; filename*=UTF-8''a%20b.txt", "Transfer-Encoding: chunked", "Trailer: Repr-Digest"], chunks],
    [`PUT ${link} HTTP/1.1`, [`Content-Length: ${length}`, "If-None-Match: *", "Expect: 100-continue"], CONTENT],
    [`DELETE ${link} HTTP/1.1`, ["If-Match: *"]],
    [`OPTIONS /uploads HTTP/1.1`, ["Origin: https://a.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: a, b"]],
    [`POST /uploads HTTP/1.1`, ["Upload-Complete: ?0", "Upload-Length: 100", `Content-Length: ${length}`, "Upload-Draft-Interop-Version: 8"], CONTENT],
    [`POST /uploads HTTP/1.1`, ["Upload-Complete: ?1", "Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"],
    [`HEAD ${upload} HTTP/1.1`, []],
    [`PATCH ${upload} HTTP/1.1`, ["Upload-Offset: 0", "Upload-Complete: ?0", "Content-Type: application/partial-upload", `Content-Length: ${length}`], CONTENT],
    [`POST /uploads HTTP/1.1`, ["Tus-Resumable: 1.0.0", "Upload-Length: 21", `Upload-Metadata: filename ${btoa("a.png")},sha256 ${btoa(DIGEST.toString("hex"))}`, "Content-Length: 0"]],
    [`PATCH ${upload} HTTP/1.1`, ["Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream", `Upload-Checksum: sha1 ${btoa("x".repeat(20))}`, "Content-Length: 5"], "hello"],
    [`POST ${upload} HTTP/1.1`, ["Tus-Resumable: 1.0.0", "X-HTTP-Method-Override: HEAD", "Content-Length: 0"]],
    ["GET / HTTP/1.1", ["Accept: text/html", "Sec-Fetch-Site: none"]],
    ["GET /healthz HTTP/1.1", ["If-None-Match: *"]],
    ["GET /page/nothing.js HTTP/1.1", ["Accept-Encoding: br, gzip"]],
  ]; // prettier-ignore
  return requests.map(([line, fields, content = ""]) => [line, "Host: localhost", ...fields, "", content].join("\r\n"));
}

/** Pieces that are more likely than random bytes to reach a rare branch. */
const PIECES = [
  "\r\n", "\n", "\r", "\0", " ", "\t", ",", ";", "=", '"', "\\", "/", "..", "%00", "%2e%2e%2f", "%", "?", "#", "*", ":", "\xff", "\xc3\x28",
  "-1", "0", "1", "9999999999999999", "1e9", "0x10", "NaN", "?1", "?0", "bytes=", "0-0", "--b", "--b--\r\n", "0\r\n\r\n", "ffffffffffffffff\r\n",
  "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n", "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\n", "Expect: 100-continue\r\n", "Expect: something\r\n", "Host: other\r\n", "Content-Encoding: gzip\r\n",
  "Tus-Resumable: 1.0.0\r\n", "Upload-Complete: ?1\r\n", "Upload-Offset: 5\r\n", "Upload-Length: 5\r\n", "Origin: null\r\n", "Accept: text/html\r\n", "X-Forwarded-For: 1.2.3.4\r\n",
  "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1", "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "__proto__", "constructor",
]; // prettier-ignore

type Mutation = (text: string, random: Random, others: readonly string[]) => string;

const MUTATIONS: readonly Mutation[] = [
  (text, random) => splice(text, random.integer(0, text.length), 0, random.pick(PIECES)),
  (text, random) => splice(text, random.integer(0, text.length), random.integer(1, 8), random.pick(PIECES)),
  (text, random) => splice(text, random.integer(0, text.length), 1, String.fromCharCode(random.integer(0, 255))),
  (text, random) => splice(text, random.integer(0, text.length), random.integer(1, 40), ""),
  (text, random) => text.slice(0, random.integer(0, text.length)),
  (text, random) => {
    const start = random.integer(0, text.length);
    return splice(text, start, 0, text.slice(start, start + random.integer(1, 200)).repeat(random.integer(1, 20)));
  },
  // a field more, one of another request's, one repeated
  (text, random) => splice(text, text.indexOf("\r\n") + 2, 0, random.pick(PIECES)),
  (text, random, others) => splice(text, text.indexOf("\r\n") + 2, 0, `${lineOf(random.pick(others), random)}\r\n`),
  (text, random) => splice(text, text.indexOf("\r\n") + 2, 0, `${lineOf(text, random)}\r\n`),
  // a number in place of another
  (text, random) => text.replace(new RegExp(`(?<=^[^]{${random.integer(0, text.length)},}?)\\d+`), random.pick(PIECES)),
  // the head of one request and the content of another
  (text, random, others) => headOf(text) + contentOf(random.pick(others)),
  (text, random) => text.replace(/^\w+/, random.pick(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "X"])),
  (text, random) => text.replace(/(?<=^\w+ )\S+/, (target) => splice(target, random.integer(0, target.length), random.integer(0, 3), random.pick(PIECES))),
  // two requests on one connection
  (text, random, others) => text + random.pick(others),
]; // prettier-ignore

function splice(text: string, start: number, removed: number, added: string): string {
  return text.slice(0, start) + added + text.slice(start + removed);
}

function headOf(text: string): string {
  return text.slice(0, text.indexOf("\r\n\r\n") + 4);
}

function contentOf(text: string): string {
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

function lineOf(text: string, random: Random): string {
  return random.pick(headOf(text).trimEnd().split("\r\n").slice(1).concat("X: y"));
}

/** Sends bytes, ends the client's side, and returns everything that comes back until the server has ended its own. */
async function exchange(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(bytes);
  try {
    await once(socket, "close", { signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (cause) {
    socket.destroy();
    throw new Error("the server has not ended the connection, or has reset it", { cause });
  }
  return Buffer.concat(chunks);
}

/** Checks what came back, as far as it can be told from bytes whose request may have been anything. */
function checkAnswer(answer: Buffer, codes: ReadonlySet<string>): void {
  const text = answer.toString("latin1");
  if (text === "") return;
  const statuses = [...text.matchAll(/(?:^|\n|\})HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  assert.ok(statuses.length > 0, `not HTTP: ${text.slice(0, 200)}`);
  const told = [...text.matchAll(/"code":"([a-z0-9-]+)"/g)].map(([, code = ""]) => code);
  for (const code of told) assert.ok(codes.has(code), `${code} is not documented`);
  const failures = statuses.filter((status) => status >= 500).length;
  const expected = told.filter((code) => EXPECTED_5XX.has(code)).length;
  assert.ok(failures <= expected, `an unexpected ${statuses.join(", ")}: ${text.slice(0, 1000)}`);
}

/** Sockets and files that a process has open. Threads, which it keeps for later work, have pipes besides. */
async function openBy(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const targets = (await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => ""));
  return (await Promise.all(targets)).filter((target) => /^(socket:|\/(?!dev\/null))/.test(target)).sort();
}

/** Every file below a folder. */
async function filesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test(`${REQUESTS} mutated requests harm nothing and leave nothing behind`, needing("/proc"), async (t) => {
  const { seed } = new Random();
  t.diagnostic(`seed ${seed}`);
  const docs = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const codes = new Set([...docs.matchAll(/^\| `([a-z0-9-]+)` \| \d{3} \|/gm)].map(([, code = ""]) => code));
  const dir = join(folder, "store");
  const env = { NODE_OPTIONS: "--inspect=0", UPLOAD_MAX_SIZE: "1MiB", UPLOAD_LOG_LEVEL: "error" };
  await using server = await ServerProcess.start({ dir, env });
  const stored = await fetch(`${server.url}/uploads?filename=a.png`, { method: "POST", body: CONTENT });
  const begun = await fetch(`${server.url}/uploads`, {
    method: "POST",
    headers: { "upload-complete": "?0" },
    body: "",
  });
  await fetch(`${server.url}/healthz`, { headers: { connection: "close" } });
  const requests = corpus({
    link: ((await stored.json()) as { url: string }).url,
    upload: begun.headers.get("location") ?? "",
  });
  for (const request of requests) checkAnswer(await exchange(server.port, Buffer.from(request, "latin1")), codes);
  const before = await settled(
    () => openBy(server.pid),
    (open) => open.length < 10,
  );

  let sent = 0;
  const sendUntil = async (count: number): Promise<void> => {
    const send = async (): Promise<void> => {
      while (sent < count) {
        sent += 1;
        // a generator for each, so that a seed gives the same requests in whatever order they end
        const random = new Random(seed + sent);
        let text = random.pick(requests);
        for (let round = random.integer(1, 4); round > 0; round -= 1) {
          text = random.pick(MUTATIONS)(text, random, requests).slice(0, MAX_LENGTH);
        }
        try {
          checkAnswer(await exchange(server.port, Buffer.from(text, "latin1")), codes);
        } catch (cause) {
          // If the server has ended, another request of this moment may be the reason.
          const log = server.output.slice(-1000);
          throw new Error(`request ${JSON.stringify(text.slice(0, 4000))}\nserver: ${log}`, { cause });
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, send));
  };
  await sendUntil(REQUESTS / 4);
  const early = await heapOf(server.output);
  await sendUntil(REQUESTS);
  const late = await heapOf(server.output);
  await t.test("no descriptor", async () => {
    const open = await settled(
      () => openBy(server.pid),
      (open) => open.length <= before.length,
    );
    assert.deepEqual(open.slice(before.length), [], `before: ${before.join(" ")}`);
  });
  await t.test("no memory", () => {
    const growth = late.heapUsed + late.external - early.heapUsed - early.external;
    const perRequest = growth / (REQUESTS - REQUESTS / 4);
    assert.ok(perRequest < MAX_GROWTH_BYTES, `${perRequest.toFixed(0)} bytes a request`);
  });
  await t.test("no staging file", async () => {
    const staged = () => filesIn(join(dir, "staging"));
    assert.deepEqual(await settled(staged, (files) => files.length === 0), []);
  });
  await t.test("no file that is not what its name says", async () => {
    for (const file of await filesIn(join(dir, "blobs"))) {
      assert.ok(
        file.endsWith(
          createHash("sha256")
            .update(await readFile(file))
            .digest("hex"),
        ),
        file,
      );
    }
  });
  await t.test("a server that works", async () => {
    const answer = await fetch(`${server.url}/uploads`, { method: "POST", body: "another" });
    assert.equal(answer.status, 201);
    assert.doesNotMatch(server.output, /"level":"error"/);
  });
});
