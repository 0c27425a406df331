import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { fileHead, formOf, sha256 } from "../helpers/service.ts";
import { settled } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, uploadBy } from "../helpers/upload-routes.ts";

const linux = needing("/proc");
const KIB = 1024;
const UPLOADS = 200;
const AT_ONCE = 10;
/** How clients leave: by a reset, by closing the socket, or by ending their side and reading on. */
const WAYS = ["reset", "destroy", "end"] as const;

/** An upload by each route as bytes on a connection: its header section and its content. */
function requestsFor(content: Buffer): readonly Buffer[] {
  const head = (line: string, ...fields: readonly string[]): Buffer =>
    Buffer.from([`${line} HTTP/1.1`, "Host: localhost", ...fields, "", ""].join("\r\n"));
  const length = `Content-Length: ${content.length}`;
  const { boundary, body } = formOf([{ head: fileHead(), content }]);
  const last = Buffer.from("0\r\n\r\n");
  const size = Buffer.from(`${content.length.toString(16)}\r\n`);
  // a chunk without bytes would be the last one
  const chunks = content.length === 0 ? last : Buffer.concat([size, content, Buffer.from("\r\n"), last]);
  const form = [`Content-Type: multipart/form-data; boundary=${boundary}`, `Content-Length: ${body.length}`];
  return [
    [head("POST /uploads", length), content],
    [head("POST /uploads", ...form), body],
    [head("POST /uploads", "Transfer-Encoding: chunked"), chunks],
    [head(`PUT ${linkTo(content)}`, length), content],
  ].map((pieces) => Buffer.concat(pieces));
}

/** Sends so many bytes and is gone, in one of the ways in which clients go. */
async function sendAndLeave(port: number, bytes: Buffer, way: (typeof WAYS)[number]): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => null);
  socket.resume();
  await once(socket, "connect");
  await new Promise<void>((resolve) => void socket.write(bytes, () => resolve()));
  if (way === "reset") socket.resetAndDestroy();
  else if (way === "destroy") socket.destroy();
  else socket.end();
  if (!socket.closed) await once(socket, "close");
}

test("a request that lacks its last bytes stores nothing, in whatever way its client leaves", async () => {
  const random = new Random(1);
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  for (const size of [1, 300 * KIB]) {
    for (const request of requestsFor(random.bytes(size))) {
      for (const lacking of [1, 2, 3, 4]) {
        for (const way of WAYS) await sendAndLeave(server.port, request.subarray(0, -lacking), way);
      }
    }
  }
  const staged = await settled(
    () => folder.staged(),
    ({ length }) => length === 0,
  );
  assert.deepEqual(staged, []);
  assert.deepEqual(await folder.wholeBlobs(), new Set());
});

test("clients that leave at any byte leave no file, no descriptor and no trouble behind", linux, async (t) => {
  const random = new Random();
  t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  const opened = await server.openFiles();
  await uploadBy("raw", server.port, Buffer.from("the first"));
  const sent = new Set([sha256("the first")]);
  const client = async (): Promise<void> => {
    for (let nth = 0; nth < UPLOADS / AT_ONCE; nth += 1) {
      const content = random.bytes(random.pick([0, 1, 10 * KIB, 300 * KIB, 2000 * KIB]));
      sent.add(sha256(content));
      const request = random.pick(requestsFor(content));
      const cut = request.subarray(0, random.integer(1, request.length - 1));
      await sendAndLeave(server.port, cut, random.pick(WAYS));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
  assert.deepEqual(
    await settled(
      () => folder.staged(),
      ({ length }) => length === 0,
    ),
    [],
  );
  assert.ok(
    (await settled(
      () => server.openFiles(),
      (count) => count <= opened,
    )) <= opened,
  );
  assert.deepEqual(await folder.wholeBlobs(), new Set([sha256("the first")]), "a cut request stores nothing");
  assert.equal((await uploadBy("form", server.port, Buffer.from("the last"))).status, 201);
  assert.doesNotMatch(server.output, /"level":"error"|Unhandled|Warning/);
  assert.equal((await server.stop()).code, 0);
});
