/** A server of several processes over a bucket. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../helpers/random.ts";
import { settled, until } from "../helpers/settled.ts";
import { linkTo, ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { ask, field } from "../resumable/client.ts";
import { startWorkers, workersOf } from "../server/workers.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const KIB = 1024;

export function workersSuite(gateway: Gateway): void {
  describe("three workers over a bucket", () => {
    test("store by every route, continue each other's uploads, and lose one without losing a file", async () => {
      await using place = new S3Place(gateway);
      const env = { ...bucketSettings(gateway), UPLOAD_BUCKET_PREFIX: place.prefix };
      await using server = await startWorkers({ dir: "/nowhere/data", env });
      const random = new Random(11);
      const contents = ROUTES.map((route) => ({ route, content: random.bytes(300 * KIB) }));
      await Promise.all(contents.map(({ route, content }) => uploadBy(route, server.port, content)));

      const content = random.bytes(900 * KIB);
      const fields = { "Upload-Complete": "?0" };
      const at = field(await ask(server.port, "POST", "/uploads", { fields }), "location");
      for (let start = 0; start < content.length; start += 100 * KIB) {
        const isLast = start + 100 * KIB >= content.length;
        const append = {
          "Content-Type": "application/partial-upload",
          "Upload-Offset": String(start),
          "Upload-Complete": isLast ? "?1" : "?0",
        };
        const body = content.subarray(start, start + 100 * KIB);
        const { status, body: text } = await ask(server.port, "PATCH", at, { fields: append, body });
        assert.equal(status, isLast ? 201 : 204, String(text));
      }

      const killed = workersOf(server).get(1) ?? assert.fail();
      process.kill(killed, "SIGKILL");
      await until(async () => (workersOf(server).get(1) ?? killed) !== killed);
      for (const one of [...contents.map(({ content }) => content), content]) {
        // A connection that the killed worker was about to get is lost.
        const read = async (): Promise<Buffer | null> => {
          const answer = await ask(server.port, "GET", linkTo(one)).catch(() => null);
          return answer === null ? null : answer.body;
        };
        const body = await settled(read, (given) => given !== null);
        assert.ok(body?.equals(one));
      }
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.equal(await place.leftovers(), 0);
    });
  });
}
