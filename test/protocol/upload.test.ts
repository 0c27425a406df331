import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { fileHead, formOf, Service, sha256 } from "../helpers/service.ts";

const HELLO = "hello, world";
const HEX = sha256(HELLO);
const reprDigest = (bytes: string, algorithm = "sha256"): string =>
  `${algorithm.replace("sha", "sha-")}=:${createHash(algorithm).update(bytes).digest("base64")}:`;

async function post(service: Service, init: RequestInit, query = ""): Promise<Response> {
  return fetch(`${service.url}/uploads${query}`, { method: "POST", ...init });
}

async function problemOf(response: Response): Promise<{ code: string } & Record<string, unknown>> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const problem = (await response.json()) as { code: string; status: number };
  assert.equal(problem.status, response.status);
  return problem;
}

for (const adapter of ["node", "fastify"] as const) {
  test(`${adapter}: a file in a form is stored, and its receipt is complete`, async () => {
    await using service = await Service.start({ adapter });
    const form = new FormData();
    form.append("before", "1");
    form.append("upload", new File([HELLO], "Grüße.TXT", { type: "text/plain" }));
    form.append("after", "2");
    const response = await post(service, { body: form });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("location"), `/uploads/${HEX}.txt`);
    assert.equal(response.headers.get("etag"), `"${HEX}"`);
    assert.equal(response.headers.get("repr-digest"), reprDigest(HELLO));
    assert.deepEqual(await response.json(), {
      url: `/uploads/${HEX}.txt`,
      digest: `sha256:${HEX}`,
      size: HELLO.length,
      type: "text/plain; charset=utf-8",
      name: "Grüße.TXT",
      integrity: `sha256-${createHash("sha256").update(HELLO).digest("base64")}`,
    });
    assert.equal((await post(service, { body: form })).status, 200);
    assert.equal(await service.count(), 1);
  });

  test(`${adapter}: the content of a request is stored, whatever its type`, async () => {
    await using service = await Service.start({ adapter });
    for (const type of ["text/plain", "application/json", "x/y", ""]) {
      const headers = type === "" ? {} : { "content-type": type };
      const response = await post(service, { body: Buffer.from(HELLO), headers });
      assert.ok(response.ok, type);
      assert.equal(((await response.json()) as { digest: string }).digest, `sha256:${HEX}`);
    }
    assert.equal(await service.count(), 1);
  });

  test(`${adapter}: content larger than a server's usual body limit, in chunks without a length`, async () => {
    await using service = await Service.start({ adapter });
    const bytes = Buffer.alloc(5_000_000, "fixity");
    const body = new Blob([bytes]).stream();
    const response = await post(service, { body, duplex: "half" });
    assert.equal(response.status, 201);
    const { url } = (await response.json()) as { url: string };
    const back = await fetch(service.url + url);
    assert.equal(sha256(Buffer.from(await back.arrayBuffer())), sha256(bytes));
  });
}

test("the name of raw content comes from Content-Disposition, or from the query", async () => {
  await using service = await Service.start();
  const name = async (init: RequestInit, query?: string): Promise<unknown> => {
    const response = await post(service, { body: HELLO, ...init }, query);
    const { url, name } = (await response.json()) as { url: string; name: unknown };
    return [url.slice(`/uploads/${HEX}`.length), name];
  };
  assert.deepEqual(await name({ headers: { "content-disposition": 'attachment; filename="a.png"' } }), [
    ".png",
    "a.png",
  ]);
  const extended = "attachment; filename=\"x.txt\"; filename*=UTF-8''%E5%86%99%E7%9C%9F.jpg";
  assert.deepEqual(await name({ headers: { "content-disposition": extended } }), [".jpg", "写真.jpg"]);
  assert.deepEqual(await name({}, "?filename=%D1%84.pdf"), [".pdf", "ф.pdf"]);
  assert.deepEqual(await name({}, "?filename=..%2F..%2Fetc%2Fpasswd"), [".txt", "passwd"]);
  assert.deepEqual(await name({ headers: { "content-type": "image/webp" } }), [".webp", null]);
  assert.deepEqual(await name({ headers: { "content-type": "application/octet-stream" } }), ["", null]);
});

test("an empty file is a file, in a form and as content", async () => {
  await using service = await Service.start();
  const form = new FormData();
  form.append("upload", new File([], "empty.txt"));
  assert.equal((await post(service, { body: form })).status, 201);
  const raw = await post(service, { body: new Uint8Array(0), headers: { "content-length": "0" } });
  assert.equal(raw.status, 200);
  const back = await fetch(`${service.url}/uploads/${sha256("")}.txt`);
  assert.equal(back.status, 200);
  assert.equal(back.headers.get("content-length"), "0");
  assert.equal(await back.text(), "");
});

test("a request without content is no empty file", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\n\r\n");
  const answer = await client.answer();
  assert.equal(answer.status, 400);
  assert.equal((JSON.parse(String(answer.body)) as { code: string }).code, "missing-file");
  assert.equal(await service.count(), 0);
});

test("the same content under several extensions is stored once, and every link of it works", async () => {
  await using service = await Service.start();
  for (const name of ["a.png", "a.jpg", "a"]) assert.ok((await post(service, { body: HELLO }, `?filename=${name}`)).ok);
  assert.equal(await service.count(), 1);
  for (const [extension, type] of [
    [".png", "image/png"],
    [".jpg", "image/jpeg"],
    ["", "application/octet-stream"],
  ] as const) {
    const response = await fetch(`${service.url}/uploads/${HEX}${extension}`);
    assert.equal(response.headers.get("content-type"), type);
    assert.equal(await response.text(), HELLO);
  }
});

test("a browser's form is sent on to the link", async () => {
  await using service = await Service.start();
  const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
  const form = new FormData();
  form.append("upload", new File([HELLO], "a.txt"));
  const response = await post(service, { body: form, headers: { accept }, redirect: "manual" });
  assert.equal(response.status, 303);
  assert.equal(response.headers.get("location"), `/uploads/${HEX}.txt`);
  // only a form shows a page; a program that prefers HTML wants the receipt
  const raw = await post(service, { body: HELLO, headers: { accept }, redirect: "manual" });
  assert.deepEqual([raw.status, ((await raw.json()) as { digest: string }).digest], [200, `sha256:${HEX}`]);
});

test("PUT to a link stores the content that the link names", async () => {
  await using service = await Service.start();
  const put = (hex: string, body: string): Promise<Response> =>
    fetch(`${service.url}/uploads/${hex}.txt`, { method: "PUT", body });
  assert.equal((await put(HEX, HELLO)).status, 201);
  assert.equal((await put(HEX, HELLO)).status, 200);
  const wrong = await put(sha256("other"), HELLO);
  assert.equal(wrong.status, 422);
  assert.equal((await problemOf(wrong)).code, "digest-mismatch");
  assert.equal(await service.count(), 1);
});

test("PUT of a part of a file is refused", async () => {
  await using service = await Service.start();
  const headers = { "content-range": "bytes 0-4/12" };
  const response = await fetch(`${service.url}/uploads/${HEX}`, { method: "PUT", body: HELLO, headers });
  assert.equal((await problemOf(response)).code, "invalid-field");
});

test("announced digests are checked, whichever field and algorithm they use", async () => {
  await using service = await Service.start();
  for (const field of ["repr-digest", "content-digest"]) {
    for (const algorithm of ["sha256", "sha512"]) {
      const right = await post(service, { body: HELLO, headers: { [field]: reprDigest(HELLO, algorithm) } });
      assert.ok(right.ok, `${field} ${algorithm}`);
      await service.fixity.remove((await service.fixity.put(Buffer.from(HELLO))).digest);
      const wrong = await post(service, { body: HELLO, headers: { [field]: reprDigest("other", algorithm) } });
      assert.equal((await problemOf(wrong)).code, "digest-mismatch");
      assert.equal(await service.count(), 0);
    }
  }
  const both = { "repr-digest": reprDigest(HELLO), "content-digest": reprDigest("other") };
  assert.equal((await problemOf(await post(service, { body: HELLO, headers: both }))).code, "digest-mismatch");
  const md5 = await post(service, { body: HELLO, headers: { "repr-digest": "md5=:Sd/dVLAcvNLSq16eXua5uQ==:" } });
  assert.equal((await problemOf(md5)).code, "unsupported-digest");
  const odd = await post(service, { body: HELLO, headers: { "repr-digest": "sha-256=:AAAA:" } });
  assert.equal((await problemOf(odd)).code, "invalid-field");
});

test("a digest on a form is that of the whole form, and one in a part's header that of the file", async () => {
  await using service = await Service.start();
  const { boundary, body } = formOf([{ head: `${fileHead()}\r\nRepr-Digest: ${reprDigest(HELLO)}`, content: HELLO }]);
  const headers = {
    "content-type": `multipart/form-data; boundary=${boundary}`,
    "content-digest": `sha-256=:${createHash("sha256").update(body).digest("base64")}:`,
  };
  assert.equal((await post(service, { body, headers })).status, 201);
  const ofFile = await post(service, { body, headers: { ...headers, "content-digest": reprDigest(HELLO) } });
  assert.equal((await problemOf(ofFile)).code, "digest-mismatch");
  const other = formOf([{ head: `${fileHead()}\r\nRepr-Digest: ${reprDigest("x")}`, content: "y" }]);
  const wrong = await post(service, { body: other.body, headers: { "content-type": headers["content-type"] } });
  assert.equal((await problemOf(wrong)).code, "digest-mismatch");
  assert.equal(await service.count(), 1);
});

test("digests that follow as trailer fields are checked before anything is stored", async () => {
  await using service = await Service.start();
  const send = async (
    trailer: string,
    announce = "Trailer: Repr-Digest\r\n",
  ): Promise<[number, string | undefined]> => {
    await using client = await RawClient.open(service.port);
    await client.send(`POST /uploads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n${announce}\r\n`);
    await client.send(`c\r\n${HELLO}\r\n0\r\n${trailer}\r\n\r\n`);
    const { status, body } = await client.answer();
    return [status, (JSON.parse(String(body)) as { code?: string }).code];
  };
  assert.deepEqual(await send(`Repr-Digest: ${reprDigest("other")}`), [422, "digest-mismatch"]);
  assert.deepEqual(await send(`Repr-Digest: ${reprDigest("other", "sha512")}`), [422, "digest-mismatch"]);
  assert.deepEqual(await send("Repr-Digest: nonsense;;"), [400, "invalid-field"]);
  assert.deepEqual(await send(`Repr-Digest: ${reprDigest(HELLO, "sha512")}`, ""), [400, "unsupported-digest"]);
  assert.equal(await service.count(), 0);
  assert.deepEqual(await send(`Repr-Digest: ${reprDigest(HELLO)}`), [201, undefined]);
  assert.deepEqual(await send(`Repr-Digest: ${reprDigest(HELLO, "sha512")}`), [200, undefined]);
});

test("compressed content is refused, since the link would be to something else", async () => {
  await using service = await Service.start();
  const response = await post(service, { body: HELLO, headers: { "content-encoding": "gzip" } });
  assert.equal(response.status, 415);
  assert.equal((await problemOf(response)).code, "unsupported-content-encoding");
  assert.ok((await post(service, { body: HELLO, headers: { "content-encoding": "identity" } })).ok);
});

test("neither Host nor forwarding fields show in an answer", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  await client.send(
    `POST /uploads HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\n` +
      `Forwarded: host=evil.example\r\nContent-Length: 12\r\n\r\n${HELLO}`,
  );
  const { status, fields, body } = await client.answer();
  assert.equal(status, 201);
  assert.doesNotMatch([...fields.values()].join("\n") + String(body), /evil|gopher/);
});

test("a link is absolute where a public URL is set", async () => {
  await using service = await Service.start({ publicUrl: "https://files.example.com/" });
  const response = await post(service, { body: HELLO });
  assert.equal(response.headers.get("location"), `https://files.example.com/uploads/${HEX}.txt`);
});

test("requests that are sent before their turn are answered in order", async () => {
  await using service = await Service.start();
  await using client = await RawClient.open(service.port);
  const put = (text: string): string =>
    `PUT /uploads/${sha256(text)} HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  await client.send(`${put("one")}${put("two")}GET /uploads/${sha256("one")} HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.equal((await client.answer()).fields.get("etag"), `"${sha256("one")}"`);
  assert.equal((await client.answer()).fields.get("etag"), `"${sha256("two")}"`);
  assert.equal(String((await client.answer()).body), "one");
});

test("an unsupported method is answered with 405 and the supported ones", async () => {
  await using service = await Service.start();
  const get = await fetch(`${service.url}/uploads`);
  assert.equal(get.status, 405);
  assert.equal(get.headers.get("allow"), "OPTIONS, POST");
  const patch = await fetch(`${service.url}/uploads/${HEX}`, { method: "PATCH", body: "x" });
  assert.equal(patch.status, 405);
  assert.equal(patch.headers.get("allow"), "DELETE, GET, HEAD, OPTIONS, PUT");
  const options = await fetch(`${service.url}/uploads`, { method: "OPTIONS" });
  assert.deepEqual([options.status, options.headers.get("allow")], [204, "OPTIONS, POST"]);
});
