/** The embedder's hook: what it learns, when it is asked, and what it can decide. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FixityError } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import type { AccessRequest, Decision } from "../../src/node.ts";
import { Service, sha256 } from "../helpers/service.ts";

const BYTES = "twelve bytes";
const LINK = `/uploads/${sha256(BYTES)}.txt`;

/** A store every call of which fails, except the read of an upload's record. */
function brokenStore(): {
  readonly store: ReturnType<typeof memoryStore>;
  readonly calls: string[];
  readonly breakStore: () => void;
} {
  const inner = memoryStore();
  const calls: string[] = [];
  let isBroken = false;
  const broken = <T extends object>(target: T, name: string, allowed: readonly string[]): T =>
    new Proxy(target, {
      get(object, key) {
        const value: unknown = Reflect.get(object, key, object);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (isBroken) calls.push(`${name}.${String(key)}`);
          if (isBroken && !allowed.includes(String(key))) throw new Error(`${name}.${String(key)} was called`);
          return Reflect.apply(value as (...args: unknown[]) => unknown, object, args);
        };
      },
    });
  const uploads = broken(inner.uploads ?? assert.fail(), "uploads", ["read"]);
  const documents = broken(inner.documents ?? assert.fail(), "documents", []);
  const store = new Proxy(broken(inner, "store", []), {
    get(object, key) {
      if (key === "uploads") return uploads;
      if (key === "documents") return documents;
      return Reflect.get(object, key, object) as unknown;
    },
  });
  return { store, calls, breakStore: () => void (isBroken = true) };
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Requests whose every condition, range and expectation would need the store, or is wrong. */
function calls(upload: string): readonly Call[] {
  const conditions = { "If-Match": '"x"', "If-None-Match": "*", Range: "bytes=999-" };
  const tus = { "Tus-Resumable": "1.0.0" };
  return [
    { method: "GET", path: LINK, fields: conditions },
    { method: "GET", path: `${LINK}?view` },
    { method: "HEAD", path: LINK, fields: { "If-None-Match": "*" } },
    { method: "DELETE", path: LINK, fields: conditions },
    { method: "PUT", path: LINK, body: BYTES, fields: { "If-None-Match": "*" } },
    { method: "PUT", path: "/uploads/a.txt", body: BYTES, fields: { "Content-Encoding": "br" } },
    { method: "POST", path: "/uploads", body: BYTES },
    { method: "POST", path: "/uploads", body: BYTES, fields: { "Upload-Complete": "?1" } },
    { method: "POST", path: "/uploads", fields: { ...tus, "Upload-Metadata": "!!", "Upload-Length": "-1" } },
    { method: "HEAD", path: upload },
    { method: "GET", path: upload },
    { method: "PATCH", path: upload, body: "x", fields: { "Upload-Offset": "nonsense" } },
    { method: "PATCH", path: upload, body: "x", fields: { ...tus } },
    { method: "DELETE", path: upload, fields: { "If-Match": '"x"' } },
    { method: "DELETE", path: upload, fields: { ...tus } },
  ];
}

async function beginUpload(service: Service, fields: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${service.url}/uploads`, {
    method: "POST",
    headers: { "Upload-Complete": "?0", ...fields },
    body: "abc",
  });
  assert.equal(response.status, 201);
  return response.headers.get("location") ?? "";
}

test("a request is refused before the store is called, but for one read of an upload's record", async () => {
  const { store, calls: made, breakStore } = brokenStore();
  let isRefusing = false;
  const authorize = (): Decision => (isRefusing ? { deny: 403, message: "As the test wants it." } : true);
  await using service = await Service.start({ store, authorize, log: () => {} });
  await service.fixity.put(Buffer.from(BYTES));
  const upload = await beginUpload(service);
  isRefusing = true;
  breakStore();
  for (const { method, path, fields = {}, body } of calls(upload)) {
    made.length = 0;
    const response = await fetch(service.url + path, { method, headers: fields, ...(body !== undefined && { body }) });
    const what = `${method} ${path} ${JSON.stringify(fields)}`;
    assert.equal(response.status, 403, what);
    assert.deepEqual(made, path === upload ? ["uploads.read"] : [], what);
  }
});

test("a principal without the right is refused before even that", async () => {
  const { store, calls: made, breakStore } = brokenStore();
  await using service = await Service.start({ store, tokens: ["reader=0123456789abcdef may=read"], log: () => {} });
  const id = "0".repeat(32);
  breakStore();
  for (const method of ["HEAD", "GET", "PATCH", "DELETE"]) {
    const response = await fetch(`${service.url}/uploads/in-progress/${id}`, {
      method,
      headers: { Authorization: "Bearer 0123456789abcdef" },
    });
    assert.equal(response.status, 403, method);
  }
  assert.deepEqual(made, []);
});

test("an upload that waits for 100 Continue is refused without it", async () => {
  await using service = await Service.start({ authorize: () => false });
  const { request } = await import("node:http");
  const sent = request({ port: service.port, method: "POST", path: "/uploads", headers: { Expect: "100-continue" } });
  let continued = false;
  sent.on("continue", () => (continued = true));
  const status = await new Promise((resolve, reject) => {
    sent.on("response", (response) => resolve(response.resume().statusCode));
    sent.on("error", reject);
    sent.flushHeaders();
  });
  sent.destroy();
  assert.deepEqual([status, continued], [401, false]);
});

test("the hook learns the action, the link, the upload, and what is announced about the file", async () => {
  const asked: AccessRequest<string | null>[] = [];
  await using service = await Service.start({
    context: ({ headers }) => String(headers["x-user"] ?? ""),
    authorize: (request) => void asked.push(request as AccessRequest<string | null>),
  });
  const metadata = `filename ${Buffer.from("b.png").toString("base64")}`;
  const form = new FormData();
  form.set("file", new File([BYTES], "a.txt"));
  const call = async (
    method: string,
    path: string,
    init: { readonly body?: string | FormData; readonly headers?: Record<string, string> } = {},
  ): Promise<AccessRequest<string | null>> => {
    asked.length = 0;
    await fetch(service.url + path, { method, ...init, headers: { "X-User": "alice", ...init.headers } });
    assert.equal(asked.length, 1);
    return asked[0] ?? assert.fail();
  };
  const facts = ({ action, size, type, name }: AccessRequest<string | null>): unknown[] => [action, size, type, name];
  const text = "text/plain; charset=utf-8";
  const disposition = { "Content-Disposition": 'attachment; filename="c.png"' };
  assert.deepEqual(facts(await call("PUT", "/uploads/a.txt", { body: BYTES })), ["create", 12, text, "a.txt"]);
  assert.deepEqual(facts(await call("PUT", LINK, { body: BYTES })), ["create", 12, text, null]);
  assert.deepEqual(facts(await call("POST", "/uploads", { body: BYTES, headers: disposition })), ["create", 12, "image/png", "c.png"]); // prettier-ignore
  assert.deepEqual(facts(await call("POST", "/uploads", { body: form })), ["create", null, null, null]);
  const tus = { "Tus-Resumable": "1.0.0", "Upload-Length": "77", "Upload-Metadata": metadata };
  assert.deepEqual(facts(await call("POST", "/uploads", { headers: tus })), ["create", 77, "image/png", "b.png"]);
  const partial = { "Upload-Complete": "?0", "Upload-Length": "99" };
  assert.deepEqual(facts(await call("POST", "/uploads?filename=d.txt", { body: "abc", headers: partial })), ["create", 99, text, "d.txt"]); // prettier-ignore
  const read = await call("GET", LINK);
  assert.deepEqual([read.action, read.link?.toString(), read.context], ["read", LINK.slice(9), "alice"]);
  assert.equal((await call("HEAD", LINK)).action, "stat");
  assert.equal((await call("GET", `${LINK}?view`)).action, "view");
  asked.length = 0;
  const upload = await beginUpload(service);
  const append = await call("PATCH", upload, { body: "d", headers: { "Upload-Offset": "3", "Upload-Complete": "?0" } });
  assert.deepEqual([append.action, append.upload?.offset, append.upload?.owner.kind], ["append", 3, "anonymous"]);
  assert.equal((await call("HEAD", upload)).action, "inspect");
  assert.equal((await call("DELETE", upload)).action, "cancel");
  assert.equal((await call("DELETE", LINK)).action, "remove");
});

describe("a decision", () => {
  const decisions: readonly (readonly [name: string, decision: () => Decision, status: number, code: string])[] = [
    ["false refuses the anonymous with 401", () => false, 401, "unauthorized"],
    ["deny 401", () => ({ deny: 401 }), 401, "unauthorized"],
    ["deny 403", () => ({ deny: 403 }), 403, "forbidden"],
    ["deny 404", () => ({ deny: 404 }), 404, "not-found"],
    ["an unknown denial", () => ({ deny: 402 }) as never, 404, "not-found"],
    ["a denial without a status", () => ({ deny: undefined }) as never, 404, "not-found"],
    ["a text", () => "no" as never, 500, "internal-error"],
    ["an unknown limit", () => ({ maxsize: 1 }) as never, 500, "internal-error"],
    ["a size that is no number", () => ({ maxSize: Number.NaN }), 500, "internal-error"],
    ["an invalid date", () => ({ expires: new Date("never") }), 500, "internal-error"],
    ["a type that is none", () => ({ types: ["images"] }), 500, "invalid-option"],
    ["more than can be kept", () => ({ keep: "x".repeat(5000) }), 500, "internal-error"],
    ["an error of the app", () => assert.fail("the app's own"), 500, "internal-error"],
    [
      "a FixityError",
      () => {
        throw new FixityError("forbidden", "Not you.");
      },
      403,
      "forbidden",
    ],
  ];
  for (const [name, authorize, status, code] of decisions) {
    test(`${name}: ${status}, and nothing is stored`, async () => {
      await using service = await Service.start({ authorize, log: () => {} });
      const response = await fetch(`${service.url}/uploads`, { method: "POST", body: BYTES });
      assert.equal(response.status, status);
      assert.equal(((await response.json()) as { code: string }).code, code);
      if (status === 401) assert.equal(response.headers.get("www-authenticate"), "Bearer");
      assert.equal(await service.count(), 0);
    });
  }

  for (const allowed of [undefined, null, true, {}]) {
    test(`${JSON.stringify(allowed)} allows`, async () => {
      await using service = await Service.start({ authorize: () => allowed });
      assert.equal((await fetch(`${service.url}/uploads`, { method: "POST", body: BYTES })).status, 201);
    });
  }
});

for (const limits of [{ maxSize: Number.NaN }, { maxRequests: -1 }]) {
  test(`a principal with the limits ${JSON.stringify(limits)} is refused: 500, and the client learns nothing of it`, async () => {
    await using service = await Service.start({ principal: () => ({ name: "ann", limits }), log: () => {} });
    const response = await fetch(`${service.url}/uploads`, { method: "POST", body: BYTES });
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /principal|limit/);
    assert.equal(await service.count(), 0);
  });
}

describe("what a decision narrows holds at the last byte:", () => {
  const routes: readonly (readonly [name: string, send: (service: Service, bytes: string) => Promise<Response>])[] = [
    ["PUT to a name", (service, body) => fetch(`${service.url}/uploads/a.txt`, { method: "PUT", body })],
    [
      "PUT of unknown length",
      (service, bytes) =>
        fetch(`${service.url}/uploads/a.txt`, {
          method: "PUT",
          body: new Blob([bytes]).stream(),
          duplex: "half",
        }),
    ],
    [
      "a form",
      (service, bytes) => {
        const body = new FormData();
        body.set("file", new File([bytes], "a.txt"));
        return fetch(`${service.url}/uploads`, { method: "POST", body });
      },
    ],
    [
      "an upload in two requests",
      async (service, bytes) => {
        const first = await fetch(`${service.url}/uploads?filename=a.txt`, {
          method: "POST",
          body: bytes.slice(0, 5),
          headers: { "Upload-Complete": "?0" },
        });
        if (first.status !== 201) return first;
        return fetch(service.url + first.headers.get("location"), {
          method: "PATCH",
          body: bytes.slice(5),
          headers: {
            "Upload-Complete": "?1",
            "Upload-Offset": "5",
            "Content-Type": "application/partial-upload",
          },
        });
      },
    ],
    [
      "tus in two requests",
      async (service, bytes) => {
        const tus = { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream" };
        const metadata = `filename ${Buffer.from("a.txt").toString("base64")}`;
        const first = await fetch(`${service.url}/uploads`, {
          method: "POST",
          body: bytes.slice(0, 5),
          headers: { ...tus, "Upload-Length": String(bytes.length), "Upload-Metadata": metadata },
        });
        if (first.status !== 201) return first;
        return fetch(service.url + first.headers.get("location"), {
          method: "PATCH",
          body: bytes.slice(5),
          headers: { ...tus, "Upload-Offset": "5" },
        });
      },
    ],
  ];
  for (const [route, send] of routes) {
    test(`by ${route}`, async () => {
      let decision: Decision = {};
      await using service = await Service.start({ authorize: () => decision, log: () => {} });
      const sendUnder = async (narrowing: Decision, bytes: string): Promise<Response> => {
        decision = narrowing;
        return send(service, bytes);
      };
      assert.equal((await sendUnder({ maxSize: 11 }, BYTES)).status, 413, "a larger file");
      assert.equal((await sendUnder({ types: ["image/*", ".md"] }, BYTES)).status, 415, "another type");
      assert.equal((await sendUnder({ digest: sha256("other") }, BYTES)).status, 422, "another digest");
      assert.equal((await sendUnder({ expires: new Date(Date.now() - 1) }, BYTES)).status, 403, "too late");
      assert.equal(await service.count(), 0);
      const all = {
        maxSize: 12,
        types: ["text/plain"],
        digest: `sha256:${sha256(BYTES)}`,
        expires: new Date(Date.now() + 60_000),
      };
      const stored = await sendUnder(all, BYTES);
      assert.ok(stored.ok, await stored.text());
      assert.equal(await service.count(), 1);
    });
  }

  test("an append is asked about again", async () => {
    let isAllowed = true;
    await using service = await Service.start({ authorize: () => isAllowed || { deny: 403 } });
    const upload = await beginUpload(service);
    isAllowed = false;
    const headers = { "Upload-Complete": "?1", "Upload-Offset": "3", "Content-Type": "application/partial-upload" };
    assert.equal((await fetch(service.url + upload, { method: "PATCH", body: "d", headers })).status, 403);
    isAllowed = true;
    assert.equal((await fetch(service.url + upload, { method: "PATCH", body: "d", headers })).status, 201);
  });
});
