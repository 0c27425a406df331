/** The upload queue, and `fixity/react` on a server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import {
  type Client,
  createClient,
  createUploadQueue,
  type QueuedUpload,
  type UploadQueue,
} from "../../src/client/node.ts";
import { useUploads } from "../../src/react.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;

/** Resolves when the uploads of a queue satisfy a condition. */
function state(queue: UploadQueue, holds: (uploads: readonly QueuedUpload[]) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (!holds(queue.getSnapshot())) return;
      unsubscribe();
      resolve();
    };
    const unsubscribe = queue.subscribe(check);
    check();
  });
}

const statuses = (queue: UploadQueue): string[] => queue.getSnapshot().map(({ status }) => status);
const have =
  (status: string) =>
  (uploads: readonly QueuedUpload[]): boolean =>
    uploads.every((upload) => upload.status === status);

/** A client whose requests with content wait until they are released. */
function gatedClient(service: Service, options: { readonly concurrency?: number } = {}) {
  const gate = Promise.withResolvers<void>();
  let most = 0;
  let running = 0;
  const client: Client = createClient({
    endpoint: `${service.url}/uploads`,
    ...options,
    fetch: async (url, init) => {
      running += 1;
      most = Math.max(most, running);
      try {
        await Promise.race([
          gate.promise,
          new Promise((_, reject) => {
            init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
          }),
        ]);
        return await fetch(url, init);
      } finally {
        running -= 1;
      }
    },
  });
  return { client, open: gate.resolve, most: () => most };
}

test("files are uploaded, a bounded number at a time, and each change makes a new snapshot", async () => {
  await using service = await Service.start();
  const { client, open, most } = gatedClient(service, { concurrency: 2 });
  const queue = createUploadQueue(client);
  const empty = queue.getSnapshot();
  const snapshots = new Set<readonly QueuedUpload[]>();
  const unsubscribe = queue.subscribe(() => snapshots.add(queue.getSnapshot()));
  const files = Array.from({ length: 6 }, (_, index) => new File([`content ${index}`], `${index}.txt`));
  const ids = queue.add(files);
  assert.deepEqual(
    queue.getSnapshot().map(({ id, name, size }) => [id, name, size]),
    files.map(({ name, size }, index) => [ids[index], name, size]),
  );
  assert.equal(queue.getSnapshot(), queue.getSnapshot());
  await state(queue, (uploads) => uploads.filter(({ status }) => status === "running").length === 2);
  assert.deepEqual(
    statuses(queue).slice(2),
    Array.from({ length: 4 }, () => "queued"),
  );
  const last = queue.getSnapshot()[5];
  open();
  await state(queue, have("done"));
  assert.equal(most(), 2);
  assert.deepEqual(empty, []);
  assert.ok(snapshots.size > 6 && Object.isFrozen(last));
  assert.equal(last?.status, "queued", "an earlier snapshot does not change");
  assert.equal(queue.getSnapshot()[5]?.result?.digest, `sha256:${sha256("content 5")}`);
  unsubscribe();
  const before = snapshots.size;
  queue.remove();
  assert.deepEqual([queue.getSnapshot(), snapshots.size], [[], before]);
});

test("uploads are paused, resumed, cancelled and removed, alone and together", async () => {
  await using service = await Service.start();
  const { client, open } = gatedClient(service);
  const queue = createUploadQueue(client);
  const [first = "", second = ""] = queue.add([randomBytes(2 * MIB), randomBytes(2 * MIB), randomBytes(2 * MIB)]);
  queue.pause();
  assert.deepEqual(statuses(queue), ["paused", "paused", "paused"]);
  queue.resume(first);
  queue.cancel(second);
  queue.cancel("unknown");
  open();
  await state(queue, ([upload]) => upload?.status === "done");
  assert.deepEqual(statuses(queue), ["done", "cancelled", "paused"]);
  // those that have ended stay as they are
  queue.pause(first);
  queue.cancel(first);
  queue.resume();
  await state(queue, (uploads) => uploads[2]?.status === "done");
  queue.retry();
  await state(queue, have("done"));
  queue.remove(second);
  assert.equal(queue.getSnapshot().length, 2);
  assert.equal(await service.count(), 3);
});

test("a failed upload has its error, and is retried", async () => {
  await using service = await Service.start();
  let refuses = true;
  const queue = createUploadQueue(
    createClient({
      endpoint: `${service.url}/uploads`,
      fetch: async (url, init) => (refuses ? new Response("", { status: 400 }) : fetch(url, init)),
    }),
  );
  queue.add([Buffer.from("a")]);
  await state(queue, have("failed"));
  assert.equal(queue.getSnapshot()[0]?.error?.status, 400);
  refuses = false;
  queue.retry();
  assert.equal(queue.getSnapshot()[0]?.error, null);
  await state(queue, have("done"));
});

test("a waiting upload shows why and until when", async () => {
  await using service = await Service.start();
  const response = new Response("", { status: 503, headers: { "Retry-After": "500" } });
  const queue = createUploadQueue(createClient({ endpoint: service.url, fetch: async () => response.clone() }));
  queue.add([Buffer.from("a")]);
  await state(queue, ([upload]) => upload?.progress?.phase === "waiting");
  assert.equal(queue.getSnapshot()[0]?.progress?.wait?.reason, "busy");
  queue.cancel();
  assert.deepEqual(statuses(queue), ["cancelled"]);
});

test("a server renders the hook with an empty list, and creates queue and client in a module", () => {
  const queue = createUploadQueue(createClient({ endpoint: "/uploads" }));
  const List = () => createElement("p", null, `${useUploads(queue).uploads.length} uploads`);
  assert.equal(renderToString(createElement(List)), "<p>0 uploads</p>");
});
