import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** Requests that end their connection, and what they are answered with. */
const ENDING: readonly (readonly [what: string, text: string, status: number])[] = [
  ["what is not HTTP", "NONSENSE\r\n\r\n", 400],
  ["too large a header section", `GET / HTTP/1.1\r\nX-Long: ${"x".repeat(400_000)}\r\n\r\n`, 431],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["no Host, and content", `POST /uploads HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n${"x".repeat(9_000_000)}`, 400],
  [
    "a chunk that is none, and content behind it",
    `POST /uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n${"x".repeat(9_000_000)}`,
    400,
  ],
  [
    "a chunk that is none behind an early answer, and content behind it",
    `PUT /uploads/nonsense HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n${"x".repeat(9_000_000)}`,
    400,
  ],
  [
    "a refused upload",
    `POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 9000000\r\n\r\n${"x".repeat(9_000_000)}`,
    415,
  ],
  [
    "a refused upload that never comes",
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 9000000\r\n\r\n",
    415,
  ],
  [
    "a page, and content",
    `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9000000\r\n\r\n${"x".repeat(9_000_000)}`,
    200,
  ],
  ["a page, and content that never comes", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n", 200],
];

test(
  "a client that keeps its side of a closed connection open can read the response, and holds no resources",
  needing("/proc"),
  async () => {
    await using server = await ServerProcess.start({ dir: join(folder, "half-open") });
    await fetch(`${server.url}/healthz`, { headers: { connection: "close" } });
    const before = await server.openFiles();
    const clients: RawClient[] = [];
    try {
      for (const [what, text, status] of ENDING) {
        const opened = Array.from({ length: 5 }, async () => {
          const client = await RawClient.open(server.port);
          clients.push(client);
          // all is sent before anything is read
          client.socket.pause();
          await client.send(text);
          client.socket.resume();
          return client.answer();
        });
        for (const answer of await Promise.all(opened)) {
          assert.deepEqual([answer.status, answer.fields.get("connection")], [status, "close"], what);
        }
      }
      assert.ok(clients.every(({ socket }) => socket.writable || socket.destroyed));
      await until(async () => (await server.openFiles()) <= before);
    } finally {
      for (const { socket } of clients) socket.destroy();
    }
  },
);
