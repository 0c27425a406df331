import assert from "node:assert/strict";
import { test } from "node:test";
import { failure } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { content, digestOf, writeAll } from "../../contract/tools.ts";
import { putObject } from "../api/objects.ts";
import { payloadOf } from "../api/signer.ts";

const BYTES = content(6 * 1024 * 1024);
const DIGEST = digestOf(BYTES);
const KEY = `blobs/${DIGEST.hex}`;

/** Commits in the place of a damaged object of the same size. */
async function repaired(server: ScriptedServer): Promise<unknown> {
  const client = server.client();
  const damaged = content(BYTES.length, 9);
  await putObject(client, KEY, payloadOf(damaged), { contentType: "image/png", ifAbsent: false });
  await client.destroy();
  await using store = server.store({ attempts: 1 });
  await using staged = await store.stage({ digest: DIGEST, length: BYTES.length });
  await writeAll(staged, BYTES);
  return await staged.commit(DIGEST, { judge: () => "damaged" }).catch((error: unknown) => error);
}

test("a damaged object of the right size does not pass for the one that replaces it", async () => {
  await using server = await ScriptedServer.start();
  server.always("CompleteMultipartUpload", failure(503, "SlowDown"));
  const outcome = await repaired(server);
  assert(outcome instanceof Error, "the completion was never carried out");
  assert(!server.bucket.objects.get(KEY)?.bytes.equals(BYTES));
});

test("a damaged object is replaced by the completion", async () => {
  await using server = await ScriptedServer.start();
  assert.deepEqual(await repaired(server), { existed: false });
  assert(server.bucket.objects.get(KEY)?.bytes.equals(BYTES));
});
