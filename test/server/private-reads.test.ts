import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity, Link } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const TOKEN = "s3cret-of-the-first-token";
const READER = "s3cret-of-a-token-that-reads";
const KEY = "s3cret key for links and permits s3cret key";

function as(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

test("a server with UPLOAD_READS=signed sends files for signed links, and to tokens that may read", async () => {
  await using folder = await StoreFolder.make();
  const env = {
    UPLOAD_READS: "signed",
    UPLOAD_LINK_KEYS: KEY,
    UPLOAD_TOKENS: `writer=${TOKEN},reader=${READER} may=read`,
  };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const upload = async () => {
    const response = await fetch(`${server.url}/uploads`, { method: "POST", body: "x", headers: as(TOKEN) });
    return { status: response.status, ...((await response.json()) as { url: string; digest: string }) };
  };
  const { url, status } = await upload();
  assert.equal(status, 201);
  assert.equal((await upload()).status, 201, "an upload of stored content is answered as one of new content");
  const link = new URL(url, server.url).href;
  const read = async (target: string, headers?: Record<string, string>): Promise<number> =>
    (await fetch(target, { ...(headers !== undefined && { headers }) })).status;
  assert.deepEqual([await read(link), await read(link, as(TOKEN)), await read(link, as(READER))], [404, 404, 200]);
  // another program with the same key
  const signer = createFixity({ store: memoryStore(), linkKeys: [KEY] }).links;
  const parsed = Link.parse(link.split("/").at(-1) ?? "");
  const query = signer?.sign(parsed, { expires: Date.now() + 60_000 }) ?? "";
  assert.equal(await read(`${link}?${query}`), 200);
  assert.equal(await read(`${link}?${query}&a=b`), 404);
  assert.equal(await read(`${link}?${signer?.sign(parsed, { expires: Date.now() - 60_000 }) ?? ""}`), 403);
  assert.ok(!server.output.includes(query.slice(-43)), "the log has no signature");
});

test("a permit uploads within its limits, and once", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_PERMIT_KEYS: KEY, UPLOAD_TYPES: "text/plain" };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const minter = createFixity({ store: memoryStore(), permitKeys: [KEY] });
  const { permit } = minter.permit({ maxSize: 3, expires: 60_000, once: true });
  const upload = async (body: string, name = "a.txt"): Promise<number> =>
    (await fetch(`${server.url}/uploads?filename=${name}`, { method: "POST", body, headers: as(permit) })).status;
  assert.equal(await upload("long"), 413);
  assert.equal(await upload("x", "a.png"), 415);
  assert.deepEqual([await upload("x"), await upload("x")], [201, 403]);
  assert.ok(!server.output.includes(permit) && !server.output.includes("s3cret"), server.output);
});
