import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { request } from "undici";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { until } from "../helpers/settled.ts";
import { fileHead, formOf, Service, sha256 } from "../helpers/service.ts";

const run = promisify(execFile);
const MIB = 1024 ** 2;
const LARGE = Buffer.alloc(24 * MIB, "fixity");

/** A file on disk for clients that are programs. */
async function largeFile(): Promise<{ path: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  const path = join(folder, "large.bin");
  await writeFile(path, LARGE);
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

for (const adapter of ["node", "fastify"] as const) {
  test(`${adapter}: curl reads why its upload is too large, by form and by content, announced and not`, async () => {
    await using service = await Service.start({ adapter, maxSize: MIB });
    await using file = await largeFile();
    const ways = [
      ["-F", `upload=@${file.path}`],
      ["-X", "POST", "-T", file.path],
      ["-X", "POST", "-T", file.path, "-H", "Expect:"],
      ["-X", "POST", "-T", file.path, "-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
    ];
    for (const way of ways) {
      const { stdout } = await run("curl", ["-sS", "-w", "%{http_code}", ...way, `${service.url}/uploads`]);
      const [body = "", status] = stdout.split("\n");
      assert.equal(status, "413", way.join(" "));
      assert.equal((JSON.parse(body) as { code: string }).code, "size-limit-exceeded");
    }
    assert.equal(await service.count(), 0);
  });

  test(`${adapter}: undici reads why its upload is too large`, async () => {
    await using service = await Service.start({ adapter, maxSize: MIB });
    const { boundary, body } = formOf([{ head: fileHead(), content: LARGE }]);
    const ways = [
      { body: LARGE, headers: {} },
      { body, headers: { "content-type": `multipart/form-data; boundary=${boundary}` } },
      { body: Readable.from([LARGE]), headers: {} },
    ];
    for (const way of ways) {
      const answer = await request(`${service.url}/uploads`, { method: "POST", ...way });
      assert.equal(answer.statusCode, 413);
      assert.equal(((await answer.body.json()) as { code: string }).code, "size-limit-exceeded");
    }
    assert.equal(await service.count(), 0);
  });

  test(`${adapter}: a client that reads nothing before it has sent everything still gets the answer`, async () => {
    await using service = await Service.start({ adapter, maxSize: MIB });
    await using client = await RawClient.open(service.port);
    await client.send(`POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: ${LARGE.length}\r\n\r\n`);
    client.socket.pause();
    await client.send(LARGE);
    client.socket.resume();
    assert.equal((await client.answer()).status, 413);
  });

  test(`${adapter}: Expect: 100-continue is answered with the final response before the content`, async () => {
    await using service = await Service.start({ adapter, maxSize: MIB });
    const stored = await service.fixity.put(Buffer.from("there already"));
    const ask = async (head: string): Promise<number> => {
      await using client = await RawClient.open(service.port);
      await client.send(`${head}\r\nHost: x\r\nExpect: 100-continue\r\n\r\n`);
      return (await client.answer()).status;
    };
    assert.equal(await ask("POST /uploads HTTP/1.1\r\nContent-Length: 10"), 100);
    assert.equal(await ask(`POST /uploads HTTP/1.1\r\nContent-Length: ${LARGE.length}`), 413);
    assert.equal(await ask(`PUT /uploads/${stored.digest.hex} HTTP/1.1\r\nContent-Length: 13`), 200);
    assert.equal(await ask(`PUT /uploads/${sha256("new")} HTTP/1.1\r\nContent-Length: 3`), 100);
    assert.equal(await ask("POST /uploads HTTP/1.1\r\nContent-Length: 3\r\nContent-Encoding: gzip"), 415);
    assert.equal(await ask("PUT /uploads/a-name.txt HTTP/1.1\r\nContent-Length: 3"), 100);
    assert.equal(await ask(`PUT /uploads/${"0".repeat(63)} HTTP/1.1\r\nContent-Length: 3`), 400);
  });
}

test("curl sends no byte of a file that is there already", async () => {
  await using service = await Service.start();
  await using file = await largeFile();
  const { digest } = await service.fixity.put(LARGE);
  const url = `${service.url}/uploads/${digest.hex}.bin`;
  const { stdout } = await run("curl", ["-sS", "-o", "-", "-w", "%{http_code} %{size_upload}", "-T", file.path, url]);
  assert.equal(stdout.split("\n")[1], "200 0");
});

test("a small request that is refused keeps its connection", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  for (let round = 0; round < 3; round++) {
    await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n");
    const answer = await client.answer();
    assert.deepEqual([answer.status, answer.fields.get("connection")], [415, "keep-alive"]);
    await client.send("hello");
  }
  assert.equal(await service.count(), 0);
});

test("a file is whole for a client that sends content along with its GET, before it reads", async () => {
  await using service = await Service.start();
  const { url } = await service.fixity.put(LARGE);
  for (const size of [300_000, 20 * MIB]) {
    await using client = await RawClient.open(service.port);
    client.socket.pause();
    await client.send(`GET ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
    await client.send(Buffer.alloc(size));
    client.socket.resume();
    const answer = await client.answer();
    assert.deepEqual([answer.status, answer.fields.get("connection")], [200, "close"]);
    assert.ok(answer.body.equals(LARGE));
    await client.closed();
  }
});

test("a file is whole for a client that announces content with its GET and sends none, and the connection ends", async () => {
  await using service = await Service.start();
  const { url } = await service.fixity.put(LARGE);
  await using client = await RawClient.open(service.port);
  await client.send(`GET ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n`);
  assert.ok((await client.answer()).body.equals(LARGE));
  await client.closed();
});

test("a chunked form over the limit is refused readably, trailer fields included", async () => {
  await using service = await Service.start({ maxSize: MIB });
  const { boundary, body } = formOf([{ head: fileHead(), content: LARGE }]);
  await using client = await RawClient.open(service.port);
  const type = `Content-Type: multipart/form-data; boundary=${boundary}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Last`;
  client.socket.pause();
  await client.send(`POST /uploads HTTP/1.1\r\nHost: x\r\n${type}\r\n\r\n`);
  for (let from = 0; from < body.length; from += MIB) {
    const piece = body.subarray(from, from + MIB);
    await client.send(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]));
  }
  await client.send("0\r\nX-Last: yes\r\n\r\n");
  client.socket.resume();
  const answer = await client.answer();
  assert.deepEqual([answer.status, answer.fields.get("connection")], [413, "close"]);
  await client.closed();
});

test("requests sent along with one that is refused are answered when its connection stays, and only then", async () => {
  await using service = await Service.start();
  const { digest } = await service.fixity.put(Buffer.from("there"));
  const next = `GET /uploads/${digest.hex} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const refused = (size: number): Buffer =>
    Buffer.concat([
      Buffer.from(`POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${size}\r\n\r\n`),
      Buffer.alloc(size),
    ]);
  await using kept = await RawClient.open(service.port);
  await kept.send(Buffer.concat([refused(1000), refused(1000), Buffer.from(next)]));
  assert.deepEqual([(await kept.answer()).status, (await kept.answer()).status], [415, 415]);
  assert.equal(String((await kept.answer()).body), "there");
  const upload = `POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nforbidden`;
  await using closed = await RawClient.open(service.port);
  await closed.send(Buffer.concat([refused(MIB), Buffer.from(upload)]));
  assert.equal((await closed.answer()).status, 415);
  await closed.closed();
  assert.equal(await service.count(), 1, "what follows a close is not processed");
});

test("a client of HTTP/1.0 reads why its upload is refused, and its connection ends", async () => {
  await using service = await Service.start();
  for (const size of [1000, 10 * MIB]) {
    await using client = await RawClient.open(service.port);
    client.socket.pause();
    await client.send(`POST /uploads HTTP/1.0\r\nContent-Encoding: gzip\r\nContent-Length: ${size}\r\n\r\n`);
    await client.send(Buffer.alloc(size));
    client.socket.resume();
    const answer = await client.answer();
    assert.deepEqual([answer.status, answer.fields.get("connection")], [415, "close"]);
    await client.closed();
  }
});

for (const adapter of ["node", "fastify"] as const) {
  test(`${adapter}: nothing is held for a client that leaves while its content is dropped`, async () => {
    await using service = await Service.start({ adapter });
    for (const size of [1000, 10 * MIB]) {
      await using client = await RawClient.open(service.port);
      await client.send(
        `POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${size}\r\n\r\nxx`,
      );
      assert.equal((await client.answer()).status, 415);
    }
    await until(async () => (await service.connections()) === 0);
  });
}

test("Python's http.client reads why its upload is refused", needing("python3"), async () => {
  await using service = await Service.start({ idleTimeout: 1000 });
  for (const size of [1e6, 1e7, 4e7]) {
    const { stdout } = await run("python3", ["-c", PYTHON, String(service.port), String(size)]);
    assert.equal(stdout.trim(), "400");
  }
});

/** Sends a form whose first part has no name; the answer is read when all has been sent. */
const PYTHON = String.raw`
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
head = b'--Q\r\nContent-Disposition: form-data\r\n\r\ntext\r\n--Q\r\n'
form = head + b'Content-Disposition: form-data; name="note"; filename="x"\r\n\r\n' + bytes(int(float(sys.argv[2]))) + b'\r\n--Q--\r\n'
connection.request("POST", "/uploads", form, {"Content-Type": "multipart/form-data; boundary=Q"})
print(connection.getresponse().status)
`;

test("a connection is not kept for a client that never stops sending", async () => {
  await using service = await Service.start({ maxSize: 10 });
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000), Buffer.from("\r\n")]);
  let sent = 0;
  // the server reads 256 MiB at most
  while (!client.socket.destroyed && sent < 1024) {
    await client.send(chunk);
    sent++;
  }
  assert.ok(sent < 512, `${sent} MiB were taken`);
  assert.equal((await client.answer()).status, 413);
});
