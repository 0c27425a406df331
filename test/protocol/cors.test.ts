import assert from "node:assert/strict";
import { test } from "node:test";
import { Service } from "../helpers/service.ts";

const APP = "https://app.example.com";

async function preflight(service: Service, origin: string): Promise<Response> {
  const headers = {
    origin,
    "access-control-request-method": "PUT",
    "access-control-request-headers": "content-type,repr-digest",
  };
  return fetch(`${service.url}/uploads`, { method: "OPTIONS", headers });
}

test("without the option no page of another origin is let in", async () => {
  await using service = await Service.start();
  const response = await preflight(service, APP);
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  assert.equal(response.headers.get("vary"), null);
});

test("a listed origin is let in, with the fields that it needs", async () => {
  await using service = await Service.start({ cors: { origins: [APP] } });
  const { headers, status } = await preflight(service, APP);
  assert.equal(status, 204);
  assert.equal(headers.get("access-control-allow-origin"), APP);
  assert.match(headers.get("access-control-allow-methods") ?? "", /\bPUT\b/);
  assert.match(headers.get("access-control-allow-headers") ?? "", /Repr-Digest/);
  assert.equal(headers.get("vary"), "Origin");
  assert.equal(headers.get("access-control-allow-credentials"), null);
  const upload = await fetch(`${service.url}/uploads`, { method: "POST", body: "x", headers: { origin: APP } });
  assert.match(upload.headers.get("access-control-expose-headers") ?? "", /Location/);
});

/** Whether a browser would let a request with these fields pass (WHATWG Fetch, "CORS-preflight fetch"). */
function permits(headers: Headers, asked: readonly string[]): boolean {
  const allowed = (headers.get("access-control-allow-headers") ?? "").toLowerCase().split(", ");
  return asked.every((name) => allowed.includes(name));
}

async function askFor(service: Service, fields: string, origin = APP): Promise<Headers> {
  const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": fields };
  return (await fetch(`${service.url}/uploads`, { method: "OPTIONS", headers })).headers;
}

for (const [what, fields] of [
  ["Dropzone", "cache-control,content-type,x-requested-with"],
  ["tus-js-client with parallelUploads", "tus-resumable,upload-concat,upload-length,upload-metadata"],
  ["fixity's own client", "content-type,incremental,repr-digest,upload-complete,upload-offset"],
  ["a downloader", "if-match,if-none-match,if-range,range,want-repr-digest"],
  ["Uppy's XHR upload", "x-uppy-versions,authorization"],
  [
    "Uppy's and tus-js-client's tus",
    "tus-resumable,upload-length,upload-metadata,upload-offset,x-request-id,x-http-method-override",
  ],
  ["FilePond", "upload-length,upload-name,upload-offset"],
  ["CKEditor and TinyMCE", "x-csrf-token,x-requested-with"],
  ["Plupload, jQuery-File-Upload and ng-file-upload", "content-disposition,content-range,x-requested-with,x-file-name"],
  ["traced fetch", "baggage,sentry-trace,traceparent,tracestate"],
  ["XHR of Angular and Axios", "x-csrf-token,x-xsrf-token,pragma,accept-language"],
  ["a preflight with spaces", "authorization, x-one ,X-Two"],
] as const) {
  test(`a preflight lets the fields of ${what} pass`, async () => {
    await using service = await Service.start({ cors: { origins: [APP] } });
    const asked = fields.toLowerCase().split(/ *, */);
    assert.ok(permits(await askFor(service, fields), asked));
    assert.ok(permits(await askFor(service, ""), ["cache-control", "incremental", "upload-concat"]));
  });
}

test("a preflight gives back nothing that is no field name, and nothing to other origins", async () => {
  await using service = await Service.start({ cors: { origins: [APP] } });
  const allowed =
    (await askFor(service, 'x-good,"bad",b ad,<script>,x=y,,range')).get("access-control-allow-headers") ?? "";
  assert.match(allowed, /, x-good$/);
  assert.equal(
    allowed
      .toLowerCase()
      .split(", ")
      .filter((name) => name === "range").length,
    1,
  );
  assert.equal((await askFor(service, "x-good", "https://evil.example")).get("access-control-allow-headers"), null);
});

test("an origin that is not listed gets no permission, and Vary names Origin", async () => {
  await using service = await Service.start({ cors: { origins: [APP] } });
  for (const origin of ["https://evil.example", `${APP}.evil.example`, "null"]) {
    const response = await preflight(service, origin);
    assert.equal(response.headers.get("access-control-allow-origin"), null, origin);
    assert.equal(response.headers.get("vary"), "Origin");
  }
});

test("errors can be read from other origins too", async () => {
  await using service = await Service.start({ cors: { origins: "*" } });
  const response = await fetch(`${service.url}/uploads/nonsense`, { headers: { origin: APP } });
  assert.equal(response.status, 404);
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
});

test("an origin that is none is refused at the start", async () => {
  for (const origin of [
    "app.example.com",
    `${APP}/`,
    "*.example.com",
    "https://*.example.com",
    "http://localhost:*",
    "null",
    "*",
    "",
  ]) {
    await assert.rejects(Service.start({ cors: { origins: [origin] } }), { code: "invalid-option" }, origin);
  }
});
