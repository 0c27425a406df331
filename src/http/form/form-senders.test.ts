import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { readForm, type SentPart } from "../../../test/helpers/forms.ts";
import { parseContentType } from "../fields/content-type.ts";

const run = promisify(execFile);
const CONTENT = Buffer.from("\r\n--\u0000\r\n\r\n写\r\n------");

// the option came with the escapes that browsers use, in 7.81
const hasCurl = await run("curl", ["--form-escape", "--version"]).then(
  () => true,
  () => false,
);
const withCurl = { skip: hasCurl ? false : "there is no curl of 7.81 or newer" };

let folder: string;
let url: string;
let received: Promise<SentPart[]>;

const server = createServer((request, response) => {
  received = readRequest(request).finally(() => response.end());
});

async function readRequest(request: IncomingMessage): Promise<SentPart[]> {
  return readForm(request, parseContentType(request.headers["content-type"])?.parameters.get("boundary"));
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "form-"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

after(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

test("forms of fetch are parsed as they were built", async () => {
  const form = new FormData();
  form.append("note", "one\ntwo 写");
  form.append('na"me\r\n', new File([CONTENT], '写"\r\n🙂\\.png', { type: "image/png" }));
  form.append("empty", new File([], ""));
  await fetch(url, { method: "POST", body: form });
  assert.deepEqual(await received, [
    // line breaks in a value are CRLF in a form (WHATWG HTML, section 4.10.21.8)
    { name: "note", fileName: null, mediaType: null, content: Buffer.from("one\r\ntwo 写") },
    { name: 'na"me\r\n', fileName: '写"\r\n🙂\\.png', mediaType: "image/png", content: CONTENT },
    { name: "empty", fileName: "", mediaType: "application/octet-stream", content: Buffer.alloc(0) },
  ]);
});

test("forms of curl are parsed as they were built, with quotes escaped in either way", withCurl, async () => {
  const path = join(folder, "写 b.txt");
  await writeFile(path, CONTENT);
  const file = (escape: readonly string[]): readonly string[] => [
    ...escape,
    "-F",
    `upload=@"${path}";filename="a\\"b;c.txt"`,
  ];
  for (const escape of [[], ["--form-escape"]]) {
    await run("curl", ["--silent", "--fail", "-F", "note=é", "-F", `upload=@${path}`, ...file(escape), url]);
    const [note, plain, quoted] = await received;
    assert.deepEqual(note, { name: "note", fileName: null, mediaType: null, content: Buffer.from("é") });
    const sent = { name: "upload", mediaType: "text/plain", content: CONTENT };
    assert.deepEqual(plain, { ...sent, fileName: "写 b.txt" });
    assert.deepEqual(quoted, { ...sent, fileName: 'a"b;c.txt' });
  }
});

test("a large file of curl arrives unchanged", withCurl, async () => {
  const path = join(folder, "large.bin");
  const content = Buffer.alloc(3_000_000, "\r\n--------------------------0123456789");
  await writeFile(path, content);
  await run("curl", ["--silent", "--fail", "-F", `upload=@${path}`, "-H", "Transfer-Encoding: chunked", url]);
  const [part] = await received;
  assert.equal(part?.content.equals(content), true);
});
