/** An event of a server that is killed on another machine; with the times of a server in `other-machine.full.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { thisProcess } from "../../src/base/process-identity.ts";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { needing } from "../helpers/requirements.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { WebhookReceiver } from "../helpers/webhook-receiver.ts";
import { documentOf, eventDocuments, startMachine, store } from "./machines.ts";

test(
  "the event of a server that was killed on another machine is delivered from here",
  needing("unshare"),
  async () => {
    await using folder = await StoreFolder.make();
    await using away = await WebhookReceiver.start();
    await using receiver = await WebhookReceiver.start();
    away.status = 503;
    await using server = await startMachine(folder, away);
    const hex = await store(server);
    const name = await documentOf(folder, hex);
    assert.match(name, /^events\/[0-9a-f]{16}-1-/, "the first process of its namespace");
    assert.ok(!name.startsWith(`events/${thisProcess().host}`), "a process of another machine");
    await server.stop("SIGKILL");
    assert.equal(await documentOf(folder, hex), name, "nothing has taken the event over yet");
    await using here = diskStore({ root: folder.path });
    const events = { url: receiver.url, secret: receiver.secret, interval: 100 };
    await using _ = createFixity({ store: here, events });
    await receiver.receives("blob.stored", hex);
    await until(async () => [...(await eventDocuments(folder)).values()].every((text) => !text.includes(hex)));
    assert.ok(!(await eventDocuments(folder)).has(name));
    assert.equal(new Set(receiver.of("blob.stored", hex).map(({ id }) => id)).size, 1);
  },
);
