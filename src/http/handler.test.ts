import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity } from "../index.ts";
import { memoryStore } from "../memory.ts";
import type { Exchange } from "./exchange.ts";
import { createHandler } from "./handler.ts";

test("an error while an error page is made is answered with 500", async () => {
  await using fixity = createFixity({ store: memoryStore() });
  const handler = createHandler(fixity);
  const fields = {
    get: () => {
      throw new RangeError("Invalid count value: -1");
    },
  };
  const { signal } = new AbortController();
  const exchange: object = { id: "1", native: [], method: "GET", target: "*", authority: "localhost", fields, signal };
  const { status, fields: sent, body } = await handler.handle(exchange as Exchange);
  assert.deepEqual([status, sent["X-Request-Id"]], [500, "1"]);
  assert.ok(typeof body === "string" || body instanceof Uint8Array);
  const { code } = JSON.parse(body.toString()) as { code: string };
  assert.equal(code, "internal-error");
});
