import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { formOf, Service, sha256 } from "../helpers/service.ts";

const FOLDER = new URL("../fixtures/senders/", import.meta.url);

/** What most of the senders call the file. */
const NAME = '写 "1".png';

/** Names that differ, because the sender was given another one, none, or encodes it. */
const OTHER_NAMES: Readonly<Record<string, string | null>> = {
  "aiohttp-body": "photo.png",
  "aiohttp-dict": "photo.png",
  // by default aiohttp percent-encodes names; to decode them would change those of all other senders
  "aiohttp-formdata": '%E5%86%99%20"1".png',
  "axios-buffer": "a b.png",
  "axios-stream": "a.png",
  "curl-data-binary": "photo.png",
  "curl-t": "photo.png",
  "curl-t-stdin": "photo.png",
  "fetch-blob": "photo.png",
  "fetch-blob-in-form": "blob",
  "form-data-4.0.6-stream": "photo.png",
  "got-stream": "photo.png",
  "httpie-body": "photo.png",
  "httpx-content": "photo.png",
  "java-httpclient-post": "photo.png",
  "java-httpclient-put": "photo.png",
  "java-httpclient-stream": "photo.png",
  "java-urlconnection": "photo.png",
  "node-fetch-blob-nameless": null,
  "requests-data-open": "photo.png",
  "requests-files-bytes": "upload",
  "requests-files-open": "photo.png",
  "requests-generator": null,
  "requests-json-and-file": "photo.png",
  "requests-put": "photo.png",
  "superagent-attach-path": "photo.png",
  tinymce: "blobid0.png",
  "undici-request-stream": "photo.png",
  "urllib-put": "photo.png",
  "wget-post-file": "photo.png",
  "wget-put": "photo.png",
};

/** Senders that say neither a name with an extension nor a type. */
const WITHOUT_EXTENSION: ReadonlySet<string> = new Set(["requests-files-bytes"]);

let services: readonly Service[];
before(async () => {
  services = [await Service.start(), await Service.start({ adapter: "fastify" })];
});
after(async () => {
  for (const service of services) await service[Symbol.asyncDispose]();
});

const labels = (await readdir(FOLDER)).filter((name) => name.endsWith(".http")).map((name) => name.slice(0, -5));

test("there are recordings, and every name belongs to one", () => {
  assert.ok(labels.length > 50);
  for (const label of Object.keys(OTHER_NAMES)) assert.ok(labels.includes(label), label);
});

for (const label of labels) {
  test(`the file of ${label} is stored as it was sent`, async () => {
    const request = await readFile(new URL(`${label}.http`, FOLDER));
    const hex = sha256(await readFile(new URL("photo.png", FOLDER)));
    const name = label in OTHER_NAMES ? OTHER_NAMES[label] : NAME;
    const url = `/uploads/${hex}${WITHOUT_EXTENSION.has(label) ? "" : ".png"}`;
    for (const service of services) {
      await using client = await RawClient.open(service.port);
      await client.send(request);
      let answer = await client.answer();
      while (answer.status < 200) answer = await client.answer();
      // a plain form prefers a page
      if (label === "browser-plain-form") {
        assert.deepEqual([answer.status, answer.fields.get("location")], [303, url]);
        continue;
      }
      const receipt = JSON.parse(answer.body.toString()) as { url?: string; name?: string | null };
      assert.deepEqual([answer.status < 300, receipt.url, receipt.name], [true, url, name]);
    }
  });
}

// .NET 8 as its source writes it (MultipartFormDataContent), not recorded: names without quotes, and encoded words
test("the file of .NET's HttpClient is stored as it was sent", async () => {
  const [service] = services;
  assert.ok(service !== undefined);
  const encoded = Buffer.from("写.png").toString("base64");
  for (const [parameters, name] of [
    ["name=file; filename=photo.png; filename*=utf-8''photo.png", "photo.png"],
    ["name=file; filename=\"a b.png\"; filename*=utf-8''a%20b.png", "a b.png"],
    [`name=file; filename="=?utf-8?B?${encoded}?="; filename*=utf-8''%E5%86%99.png`, "写.png"],
    [`name=file; filename="=?utf-8?B?${encoded}?="`, "写.png"],
  ] as const) {
    const head = `Content-Type: image/png\r\nContent-Disposition: form-data; ${parameters}`;
    const { boundary, body } = formOf([{ head, content: "x" }]);
    const headers = { "content-type": `multipart/form-data; boundary="${boundary}"` };
    const response = await fetch(`${service.url}/uploads`, { method: "POST", body, headers });
    assert.equal(((await response.json()) as { name: string }).name, name);
  }
});
