import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { fileHead, formOf, type FormText, Service } from "../helpers/service.ts";

async function send(service: Service, { boundary, body }: FormText, type?: string): Promise<[number, string]> {
  const response = await fetch(`${service.url}/uploads`, {
    method: "POST",
    body,
    headers: { "content-type": type ?? `multipart/form-data; boundary=${boundary}` },
  });
  return [response.status, ((await response.json()) as { code: string }).code];
}

const whole = formOf([{ head: fileHead(), content: "content" }]);

test("a form without a boundary, or with another than it declares, is malformed", async () => {
  await using service = await Service.start();
  for (const type of ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=other"]) {
    assert.deepEqual(await send(service, whole, type), [400, "malformed-form"], type);
  }
  assert.equal(await service.count(), 0);
});

test("a form that is cut off anywhere is malformed, and nothing of it is stored", async () => {
  await using service = await Service.start();
  const form = formOf([
    { head: 'Content-Disposition: form-data; name="x"', content: "1" },
    { head: fileHead(), content: "content" },
    { head: 'Content-Disposition: form-data; name="y"', content: "2" },
  ]);
  // the line break behind the closing boundary is not needed
  for (let length = 0; length < form.body.length - 2; length++) {
    const cut = { boundary: form.boundary, body: form.body.subarray(0, length) };
    assert.deepEqual(await send(service, cut), [400, "malformed-form"], `cut at ${length}`);
  }
  assert.equal(await service.count(), 0);
});

test("strange file names do no harm", async () => {
  await using service = await Service.start();
  const names: readonly (readonly [sent: string, name: string | null, extension: string])[] = [
    ["../../etc/passwd", "passwd", ""],
    ["C:\\\\dir\\\\a.png", "a.png", ".png"],
    ["a%22b%0D%0A.png", 'a"b.png', ".png"],
    ["写真.jpg", "写真.jpg", ".jpg"],
    ["a\u202Egnp.exe", "agnp.exe", ".exe"],
    [`${"x".repeat(10_000)}.png`, `${"x".repeat(251)}.png`, ".png"],
    [".png", ".png", ""],
    ["a.", "a.", ""],
    ["..", null, ""],
    ["a.tar.gz", "a.tar.gz", ".gz"],
    ["a.<script>", "a.<script>", ""],
  ];
  for (const [sent, name, extension] of names) {
    const { boundary, body } = formOf([{ head: fileHead(sent), content: "content" }]);
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    const response = await fetch(`${service.url}/uploads`, { method: "POST", body, headers });
    const stored = (await response.json()) as { name: string | null; url: string };
    assert.deepEqual(
      [stored.name, stored.url.replace(/^\/uploads\/[0-9a-f]{64}/, "")],
      [name, extension],
      sent.slice(0, 50),
    );
  }
  assert.equal(await service.count(), 1);
});

test("limits on the parts of a form that are no file", async () => {
  await using service = await Service.start({ form: { parts: 5, fields: 3, fieldSize: 10 } });
  const field = (content: string): { head: string; content: string } => ({
    head: 'Content-Disposition: form-data; name="x"',
    content,
  });
  const file = { head: fileHead(), content: "content" };
  assert.deepEqual(await send(service, formOf([field("x".repeat(11)), file])), [400, "form-limit-exceeded"]);
  assert.deepEqual(await send(service, formOf([1, 2, 3, 4].map(() => field("")))), [400, "form-limit-exceeded"]);
  const long = { head: `${fileHead()}\r\nX-Long: ${"x".repeat(20_000)}`, content: "" };
  assert.deepEqual(await send(service, formOf([long])), [400, "form-limit-exceeded"]);
  assert.equal(await service.count(), 0);
});

test("a client that disconnects at any byte leaves nothing behind, and the server continues", async () => {
  await using service = await Service.start();
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejections.push(reason);
  process.on("unhandledRejection", onRejection);
  const head = `POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=${whole.boundary}\r\nContent-Length: ${whole.body.length}\r\n\r\n`;
  const request = Buffer.concat([Buffer.from(head), whole.body]);
  for (let length = 0; length < request.length; length += 3) {
    await using client = await RawClient.open(service.port);
    await client.send(request.subarray(0, length));
    if (length % 2 === 0) client.socket.resetAndDestroy();
  }
  await using client = await RawClient.open(service.port);
  await client.send(request);
  assert.equal((await client.answer()).status, 201);
  assert.equal(await service.count(), 1);
  process.off("unhandledRejection", onRejection);
  assert.deepEqual(rejections, []);
});

test("an expectation that is not known is refused", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: the-moon\r\n\r\nx");
  assert.equal((await client.answer()).status, 417);
});

test("a sender that goes silent is ended with an error", async () => {
  await using service = await Service.start({ idleTimeout: 300 });
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
  const { status, body } = await client.answer();
  assert.deepEqual([status, (JSON.parse(String(body)) as { code: string }).code], [408, "upload-stalled"]);
  await client.closed();
  assert.equal(await service.count(), 0);
});

test("a sender below the minimum rate is ended, however steadily it sends", async () => {
  await using service = await Service.start({ minRate: 10_000, rateWindow: 600 });
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  const timer = setInterval(() => void client.send("abc"), 50);
  const { status } = await client.answer();
  clearInterval(timer);
  assert.equal(status, 408);
  assert.equal(await service.count(), 0);
});

test("a slow sender above the minimum rate is left alone for as long as it takes", async () => {
  await using service = await Service.start({ minRate: 100, rateWindow: 300, idleTimeout: 1000 });
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
  for (let sent = 0; sent < 2000; sent += 100) {
    await client.send("x".repeat(100));
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
  assert.equal((await client.answer()).status, 201);
});
