/** Limits of one principal: running requests, unfinished uploads, bytes per day. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import type { AppPrincipal } from "../../src/node.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

type Limits = NonNullable<AppPrincipal["limits"]>;

/** A service whose requests name their user in `X-User`. */
interface Place extends AsyncDisposable {
  call(path: string, init: RequestInit, user?: string): Promise<Response>;
  /** The number of requests that were admitted so far. */
  admitted(): number;
}

async function place(host: "sockets" | "fetchHandler", limits: Limits): Promise<Place> {
  let admitted = 0;
  const store = memoryStore();
  const options = {
    principal: (user: unknown) => (typeof user === "string" ? { name: user, limits } : null),
    authorize: () => void (admitted += 1),
    log: () => {},
  };
  const withUser = (init: RequestInit, user: string): RequestInit => {
    const headers = new Headers(init.headers);
    headers.set("X-User", user);
    return { ...init, headers };
  };
  if (host === "sockets") {
    const context = ({ headers }: { headers: Record<string, unknown> }): unknown => headers["x-user"];
    const service = await Service.start({ ...options, store, context, uploads: { expiry: 100 * HOUR_MS } });
    return {
      call: (path, init, user = "ann") => fetch(service.url + path, withUser(init, user)),
      admitted: () => admitted,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    };
  }
  const fixity = createFixity({ store, uploads: { expiry: 100 * HOUR_MS } });
  const handler = fetchHandler(fixity, { ...options, context: (request: Request) => request.headers.get("x-user") });
  return {
    call: (path, init, user = "ann") => handler(new Request(`http://localhost${path}`, withUser(init, user))),
    admitted: () => admitted,
    [Symbol.asyncDispose]: () => fixity[Symbol.asyncDispose](),
  };
}

const HOUR_MS = 3_600_000;

/** Content that arrives when the test wants it. */
function heldContent(): { readonly body: ReadableStream<Uint8Array>; end(): void; break(): void } {
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
      given.enqueue(Buffer.from("begun"));
    },
  });
  return { body, end: () => controller?.close(), break: () => controller?.error(new Error("the client is gone")) };
}

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { code: string }).code;
}

async function assertLimited(response: Response, retryAfter: RegExp): Promise<void> {
  assert.equal(response.status, 429);
  assert.match(response.headers.get("retry-after") ?? "", retryAfter);
  assert.equal(await codeOf(response), "principal-limit-exceeded");
}

const APPEND = { "Upload-Complete": "?0", "Content-Type": "application/partial-upload" };

for (const host of ["sockets", "fetchHandler"] as const) {
  describe(`over ${host}:`, () => {
    test("running requests are limited for each user, until they end or break off", async () => {
      await using at = await place(host, { maxRequests: 2 });
      const send = ({ body }: { readonly body: ReadableStream<Uint8Array> }): Promise<Response> =>
        at.call("/uploads/a.txt", { method: "PUT", body, duplex: "half" });
      const [ending, breaking] = [heldContent(), heldContent()];
      const [first, second] = [send(ending), send(breaking).catch(() => null)];
      await until(async () => at.admitted() === 2);
      await assertLimited(await at.call("/uploads/a.txt", { method: "PUT", body: "x" }), /^1$/);
      await assertLimited(await at.call("/uploads/in-progress/0", { method: "HEAD" }).then(withBody), /^1$/);
      assert.equal((await at.call("/uploads/a.txt", { method: "PUT", body: "x" }, "bob")).status, 201);
      ending.end();
      assert.equal((await first).status, 201);
      const isAdmitted = async (): Promise<boolean> =>
        (await at.call("/uploads/a.txt", { method: "PUT", body: "x" })).status === 200;
      await until(isAdmitted);
      breaking.break();
      await second;
      const both = async (): Promise<boolean> => (await Promise.all([isAdmitted(), isAdmitted()])).every(Boolean);
      await until(both);
    });

    test("unfinished uploads are limited for each user, until they end", async () => {
      await using at = await place(host, { maxOpen: 2 });
      const begin = (user?: string): Promise<Response> =>
        at.call("/uploads", { method: "POST", body: "x", headers: { "Upload-Complete": "?0" } }, user);
      const [first, second] = [await begin(), await begin()];
      assert.deepEqual([first.status, second.status], [201, 201]);
      await assertLimited(await begin(), /^60$/);
      const tus = { "Tus-Resumable": "1.0.0", "Upload-Length": "9" };
      await assertLimited(await at.call("/uploads", { method: "POST", headers: tus }), /^60$/);
      assert.equal((await begin("bob")).status, 201);
      assert.equal((await at.call("/uploads/a.txt", { method: "PUT", body: "plain" })).status, 201);
      const [one, other] = [first.headers.get("location") ?? "", second.headers.get("location") ?? ""];
      assert.equal((await at.call(one, { method: "DELETE" })).status, 204);
      assert.equal((await begin()).status, 201);
      await assertLimited(await begin(), /^60$/);
      const headers = { ...APPEND, "Upload-Complete": "?1", "Upload-Offset": "1" };
      assert.equal((await at.call(other, { method: "PATCH", body: "y", headers })).status, 201);
      assert.equal((await begin()).status, 201);
    });

    test("bytes per day are limited, announced or not, and nothing of what exceeds them is stored", async (t) => {
      t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
      await using at = await place(host, { maxBytesPerDay: 10 });
      const put = (body: string | ReadableStream, user?: string): Promise<Response> =>
        at.call("/uploads/a.txt", { method: "PUT", body, duplex: "half" }, user);
      assert.equal((await put("123456")).status, 201);
      const refused = await put("12345");
      const seconds = Number(refused.headers.get("retry-after"));
      assert.ok(seconds > 23 * 3600 && seconds <= 24 * 3600, `${seconds}`);
      await assertLimited(refused, /^\d+$/);
      await assertLimited(await put(new Blob(["12345"]).stream()), /^\d+$/);
      assert.equal((await put("12345", "bob")).status, 201, "and no more than that");
      assert.equal((await put("1234")).status, 201, "what was refused does not count");
      await assertLimited(await put(""), /^\d+$/);
      t.mock.timers.setTime(Date.now() + seconds * 1000);
      assert.equal((await put("1234567890")).status, 201);
    });

    test("bytes per day count across the pieces of an upload, which continues the next day", async (t) => {
      t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
      await using at = await place(host, { maxBytesPerDay: 10 });
      const headers = { "Upload-Complete": "?0", "Upload-Length": "12" };
      const created = await at.call("/uploads", { method: "POST", body: "1234", headers });
      const upload = created.headers.get("location") ?? "";
      const append = (offset: number, body: string | ReadableStream): Promise<Response> => {
        const fields = { ...APPEND, "Upload-Offset": String(offset), "Upload-Complete": offset === 8 ? "?1" : "?0" };
        return at.call(upload, { method: "PATCH", body, headers: fields, duplex: "half" });
      };
      assert.equal((await append(4, "5678")).status, 204);
      await assertLimited(await append(8, "90ab"), /^\d+$/);
      await assertLimited(await append(8, new Blob(["90ab"]).stream()), /^\d+$/);
      const seen = await at.call(upload, { method: "HEAD" });
      assert.deepEqual([seen.status, seen.headers.get("upload-offset")], [204, "8"]);
      t.mock.timers.setTime(Date.now() + 24 * HOUR_MS);
      assert.equal((await append(8, "90ab")).status, 201);
    });
  });
}

/** The problem of a response to HEAD, which has no content. */
function withBody({ status, headers }: Response): Response {
  return new Response(JSON.stringify({ code: "principal-limit-exceeded" }), { status, headers });
}

test("an upload beyond the bytes per day is refused before its content", async () => {
  const principal = (): AppPrincipal => ({ name: "ann", limits: { maxBytesPerDay: 10 } });
  await using service = await Service.start({ principal });
  await using client = await RawClient.open(service.port);
  await client.send("PUT /uploads/a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
  assert.equal((await client.answer()).status, 429);
  assert.equal(await service.count(), 0);
});

test("tokens have limits of their own, whatever address their requests come from", async () => {
  const tokens = ["ci=0123456789abcdef max-open=1", "other=0123456789abcdef-other"];
  await using service = await Service.start({ tokens, trustedProxies: ["127.0.0.1"] });
  const begin = async (token: string, client: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, "x-forwarded-for": client, "upload-complete": "?0" };
    return (await fetch(`${service.url}/uploads`, { method: "POST", body: "x", headers })).status;
  };
  assert.equal(await begin("0123456789abcdef", "192.0.2.1"), 201);
  assert.equal(await begin("0123456789abcdef", "192.0.2.2"), 429);
  assert.equal(await begin("0123456789abcdef-other", "192.0.2.2"), 201);
});
