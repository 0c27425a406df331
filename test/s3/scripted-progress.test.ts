import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadId } from "../../src/core/upload-id.ts";
import { take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { settled } from "../helpers/settled.ts";
import { ScriptedServer } from "./scripted-server.ts";

test("a save in the middle of a part costs the two PUTs and the DELETE that the docs state", async () => {
  await using server = await ScriptedServer.start();
  await using store = server.store();
  const uploads = uploadsOf(store);
  const id = UploadId.random();
  await uploads.create(id, "begun");
  await using held = await take(uploads, id);
  await held.write(Buffer.alloc(100_000));
  await held.save("one");
  const before = server.seen.length;
  await held.write(Buffer.alloc(100_000));
  await held.save("two");
  // without the periodic checks of the record
  const seen = () => server.operations.slice(before).filter((operation) => operation !== "HeadObject");
  const requests = await settled(
    async () => seen(),
    ({ length }) => length === 3,
  );
  assert.deepEqual(requests, ["PutObject", "PutObject", "DeleteObject"]);
});
