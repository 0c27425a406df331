import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { newWebhookSecret, WebhookReceiver } from "../helpers/webhook-receiver.ts";

async function upload({ url }: ServerProcess, text: string): Promise<string> {
  const response = await fetch(`${url}/uploads`, { method: "POST", body: text });
  assert.equal(response.status, 201, await response.text());
  return sha256(text);
}

test("a server signs its events with the secrets of a file, which SIGHUP reads again", async () => {
  await using folder = await StoreFolder.make();
  await using receiver = await WebhookReceiver.start();
  const file = `${folder.path}.secrets`;
  await writeFile(file, `${receiver.secret}\n`);
  const env = { UPLOAD_WEBHOOK_URL: receiver.url, UPLOAD_WEBHOOK_SECRET_FILE: file };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const { data } = await receiver.receives("blob.stored", await upload(server, "one"));
  assert.ok("existed" in data && data.existed === false && data.principal === null);
  const next = newWebhookSecret();
  receiver.secrets = [next];
  await writeFile(file, `${next}\n`);
  process.kill(server.pid, "SIGHUP");
  await until(async () => server.output.includes("read again"));
  await receiver.receives("blob.stored", await upload(server, "two"));
  assert.deepEqual(receiver.refused, []);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  for (const secret of [receiver.secret, next, "s3cret"]) assert.ok(!server.output.includes(secret), server.output);
});

test("events that the receiver refuses survive a stop, and the next server delivers them once", async () => {
  await using folder = await StoreFolder.make();
  await using receiver = await WebhookReceiver.start();
  receiver.status = 503;
  const options = { dir: folder.path, env: receiver.env };
  let hex: string;
  {
    await using server = await ServerProcess.start(options);
    hex = await upload(server, "kept");
    await until(async () => server.output.includes("could not be delivered"));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }
  assert.deepEqual(receiver.deliveries, []);
  receiver.status = 204;
  await using server = await ServerProcess.start(options);
  await receiver.receives("blob.stored", hex);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.equal(receiver.deliveries.length, 1);
});

test("the workers of a server deliver each event once, also those of the moment of a stop", async () => {
  await using folder = await StoreFolder.make();
  await using receiver = await WebhookReceiver.start();
  const env = { ...receiver.env, UPLOAD_WORKERS: "2" };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const texts = Array.from({ length: 20 }, (_, index) => `file ${index}`);
  const stored = await Promise.all(texts.map((text) => upload(server, text)));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.deepEqual(
    receiver.deliveries.map((one) => one.data.digest).toSorted(),
    stored.map((hex) => `sha256:${hex}`).toSorted(),
  );
  assert.equal(new Set(receiver.deliveries.map(({ id }) => id)).size, stored.length);
});

test("a webhook without encryption on another machine causes a warning, which names no path", async () => {
  const secret = newWebhookSecret();
  for (const [url, isWarned] of [
    ["http://hooks.example.com/files?token=s3cret", true],
    ["https://hooks.example.com/files?token=s3cret", false],
    ["http://localhost:1/files?token=s3cret", false],
  ] as const) {
    await using folder = await StoreFolder.make();
    const env = { UPLOAD_WEBHOOK_URL: url, UPLOAD_WEBHOOK_SECRET: secret };
    await using server = await ServerProcess.start({ dir: folder.path, env });
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    const warning = "events are sent to http://hooks.example.com without encryption";
    assert.equal(server.output.includes(warning), isWarned, server.output);
    assert.ok(!server.output.includes("s3cret") && !server.output.includes(secret), server.output);
  }
});

test("a server does not start with half of the settings of a webhook, or wrong ones", async () => {
  await using folder = await StoreFolder.make();
  const url = "https://hooks.example.com/files";
  const settings: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ UPLOAD_WEBHOOK_URL: url }, /UPLOAD_WEBHOOK_SECRET/],
    [{ UPLOAD_WEBHOOK_SECRET: newWebhookSecret() }, /UPLOAD_WEBHOOK_URL/],
    [{ UPLOAD_WEBHOOK_URL: url, UPLOAD_WEBHOOK_SECRET: "whsec_c2hvcnQ=" }, /24 to 64 bytes/],
    [{ UPLOAD_WEBHOOK_URL: "ftp://x", UPLOAD_WEBHOOK_SECRET: newWebhookSecret() }, /UPLOAD_WEBHOOK_URL/],
  ];
  for (const [env, expected] of settings) {
    await assert.rejects(async () => {
      await using _ = await ServerProcess.start({ dir: folder.path, env });
    }, expected);
  }
});
