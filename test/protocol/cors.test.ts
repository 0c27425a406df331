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

test("an origin that is not listed gets no permission, and caches are told that it matters", async () => {
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
  assert.equal(response.status, 400);
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
});

test("an origin that is none is refused at the start", async () => {
  for (const origin of ["app.example.com", `${APP}/`, "*.example.com", ""]) {
    await assert.rejects(Service.start({ cors: { origins: [origin] } }), { code: "invalid-option" }, origin);
  }
});
