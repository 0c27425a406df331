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
      const { stdout } = await run("curl", ["-sS", "-w", "\n%{http_code}", ...way, `${service.url}/uploads`]);
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

  test(`${adapter}: Expect: 100-continue is answered with what it comes to, before the content`, async () => {
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
    assert.equal(await ask("PUT /uploads/nonsense HTTP/1.1\r\nContent-Length: 3"), 400);
  });
}

test("curl sends no byte of a file that is there already", async () => {
  await using service = await Service.start();
  await using file = await largeFile();
  const { digest } = await service.fixity.put(LARGE);
  const url = `${service.url}/uploads/${digest.hex}.bin`;
  const { stdout } = await run("curl", ["-sS", "-o", "-", "-w", "\n%{http_code} %{size_upload}", "-T", file.path, url]);
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
