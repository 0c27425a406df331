/** Requests of real programs, replayed as they were on the wire. The programs themselves: senders.full.test.ts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { formOf, Service, sha256 } from "../helpers/service.ts";
import { LABELS, linkFrom, nameFrom, PHOTO, recorded } from "./senders/recordings.ts";

/** Plain forms, which prefer a page. */
const FORMS: ReadonlySet<string> = new Set(["browser-plain-form", "multer-readme-1", "multer-readme-2"]);

let services: readonly Service[];
before(async () => {
  services = [await Service.start(), await Service.start({ adapter: "fastify" })];
});
after(async () => {
  for (const service of services) await service[Symbol.asyncDispose]();
});

test("there are recordings", () => {
  assert.ok(LABELS.length > 50);
});

for (const label of LABELS) {
  test(`the file of ${label} is stored as it was sent`, async () => {
    const request = await recorded(label);
    const url = linkFrom(label, sha256(PHOTO));
    for (const service of services) {
      await using client = await RawClient.open(service.port);
      await client.send(request);
      let answer = await client.answer();
      while (answer.status < 200) answer = await client.answer();
      if (FORMS.has(label)) {
        assert.deepEqual([answer.status, answer.fields.get("location")], [303, url]);
        continue;
      }
      const receipt = JSON.parse(answer.body.toString()) as { url?: string; name?: string | null };
      assert.deepEqual([answer.status < 300, receipt.url, receipt.name], [true, url, nameFrom(label)]);
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
