import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { DownloadEvent } from "../../src/core/diagnostics.ts";
import { createFixity, type Fixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { nodeHandler } from "../../src/node.ts";

const CHANNEL = "fixity:download";

let fixity: Fixity;
let server: Server;
let origin = "";
let small = "";
let large = "";

const events: DownloadEvent[] = [];
const ended = new EventTarget();
const collect = (event: unknown): void => {
  events.push(event as DownloadEvent);
  ended.dispatchEvent(new Event("download"));
};

before(async () => {
  fixity = createFixity({ store: memoryStore() });
  const put = async (content: Buffer, filename: string) => (await fixity.put([content], { filename })).url;
  small = await put(Buffer.from("hello"), "a.txt");
  large = await put(Buffer.alloc(64 * 1024 ** 2), "a.bin");
  server = createServer(nodeHandler(fixity, { view: true })).listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await fixity.close();
});

beforeEach(() => {
  events.length = 0;
  subscribe(CHANNEL, collect);
});
afterEach(() => void unsubscribe(CHANNEL, collect));

/** The event of a download, which is published after the client has its last byte. */
async function eventAfter(request: () => Promise<unknown>): Promise<DownloadEvent> {
  const published = once(ended, "download");
  await request();
  await published;
  assert.equal(events.length, 1);
  const [event] = events;
  assert.ok(event !== undefined && event.durationMs >= 0);
  return event;
}

const get = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
  const response = await fetch(origin + path, { headers });
  await response.arrayBuffer();
  return response.status;
};

test("a download is published with its outcome, status and bytes", async () => {
  const { outcome, status, size } = await eventAfter(() => get(small));
  assert.deepEqual({ outcome, status, size }, { outcome: "complete", status: 200, size: 5 });
});

test("a range and a revalidation are downloads", async () => {
  const part = await eventAfter(() => get(small, { Range: "bytes=1-2" }));
  assert.deepEqual([part.outcome, part.status, part.size], ["complete", 206, 2]);
  events.length = 0;
  const known = await eventAfter(() => get(small, { "If-None-Match": "*" }));
  assert.deepEqual([known.outcome, known.status, known.size], ["complete", 304, 0]);
});

test("a download that fails has failed", async () => {
  const { outcome, status } = await eventAfter(() => get(`/uploads/${"ab".repeat(32)}.png`));
  assert.deepEqual({ outcome, status }, { outcome: "failed", status: 404 });
});

test("a download whose client disconnects is aborted", async () => {
  const { outcome, size } = await eventAfter(async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write(`GET ${large} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await once(socket, "data");
    socket.destroy();
  });
  assert.equal(outcome, "aborted");
  assert.ok(size < 64 * 1024 ** 2);
});

test("other requests are no downloads", async () => {
  await fetch(origin + small, { method: "HEAD" });
  await get(`${small}?view`);
  await fetch(`${origin}/uploads`, { method: "POST", body: "other" });
  await get("/elsewhere");
  // The clients have read these responses to their ends; a download that follows is published after theirs would be.
  await eventAfter(() => get(small));
});
