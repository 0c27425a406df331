import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";

const TOKENS = ["first-token-0123456789", "second-token-0123456789"];

test("uploads and removal want one of the tokens, reading none", async () => {
  await using service = await Service.start({ tokens: TOKENS });
  const call = async (method: string, path: string, authorization?: string): Promise<number> => {
    const headers = authorization === undefined ? {} : { authorization };
    const response = await fetch(service.url + path, { method, headers, ...(method !== "GET" && { body: "x" }) });
    if (response.status === 401) assert.equal(response.headers.get("www-authenticate"), "Bearer");
    return response.status;
  };
  const link = `/uploads/${sha256("x")}`;
  for (const wrong of [undefined, "Bearer wrong", "Bearer ", `Basic ${TOKENS[0]}`, `Bearer ${TOKENS[0]}x`, TOKENS[0]]) {
    assert.equal(await call("POST", "/uploads", wrong), 401, wrong);
    assert.equal(await call("PUT", link, wrong), 401, wrong);
    assert.equal(await call("DELETE", link, wrong), 401, wrong);
  }
  assert.equal(await service.count(), 0);
  assert.equal(await call("POST", "/uploads", `Bearer ${TOKENS[0]}`), 201);
  assert.equal(await call("PUT", link, `bearer ${TOKENS[1]}`), 200);
  assert.equal(await call("GET", link), 200);
  assert.equal(await call("DELETE", link, `Bearer ${TOKENS[1]}`), 204);
});

test("a refused upload is answered before its content", async () => {
  await using service = await Service.start({ tokens: TOKENS });
  await using client = await RawClient.open(service.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
  assert.equal((await client.answer()).status, 401);
});
