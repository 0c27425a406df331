import assert from "node:assert/strict";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { UploadId } from "../../src/index.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ask, begin, field } from "../resumable/client.ts";

const BYTES = Buffer.alloc(100_000, "x");

/** Begins an append of more bytes than are sent, and waits until those that are sent have been saved. */
async function slowAppend(server: ServerProcess, place: StoreFolder) {
  const at = field(await ask(server.port, "POST", "/uploads", { fields: { "Upload-Complete": "?0" } }), "location");
  const id = UploadId.parse(at.split("/").at(-1) ?? "");
  const client = await RawClient.open(server.port);
  const fields = { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0" };
  await begin(client, "PATCH", at, { fields, length: BYTES.length + 1 });
  await client.send(BYTES);
  // read as another process would, which interrupts nobody
  await using store = diskStore({ root: place.path });
  await until(async () => (await store.uploads?.read(id))?.offset === BYTES.length);
  return { client, at };
}

test("a server that is killed has kept what a slow sender brought some seconds before", async () => {
  await using place = await StoreFolder.make();
  let at: string;
  {
    await using server = await ServerProcess.start({ dir: place.path });
    const append = await slowAppend(server, place);
    await using _ = append.client;
    ({ at } = append);
    await server.stop("SIGKILL");
  }
  await using again = await ServerProcess.start({ dir: place.path });
  assert.equal(field(await ask(again.port, "HEAD", at), "upload-offset"), String(BYTES.length));
});

test("a stalled sender is ended by the idle limit, even if its upload would have expired before", async () => {
  await using place = await StoreFolder.make();
  const env = { UPLOAD_EXPIRY: "1s", UPLOAD_IDLE_TIMEOUT: "3s" };
  await using server = await ServerProcess.start({ dir: place.path, env });
  const { client } = await slowAppend(server, place);
  await using _ = client;
  const { status, body } = await client.answer();
  assert.equal(status, 408, String(body));
});
