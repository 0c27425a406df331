/** `fixity ls`, `rm`, `copy` and `import` on a bucket, beside a running server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { DeleteObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { type KilledPlace, testKilledMaintenance } from "../cli/maintenance-kills.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;

/** A new prefix of the bucket. */
async function killedPrefix(gateway: Gateway): Promise<KilledPlace> {
  const place = new S3Place(gateway);
  return {
    name: `s3://${gateway.bucket}/${place.prefix}`,
    env: { ...bucketSettings(gateway), UPLOAD_BUCKET_PREFIX: place.prefix },
    async assertNothingLeft() {
      // As a collection would a day later.
      await using store = place.store({}, { abandonedAfter: -Infinity });
      await store.collect();
      assert.equal(await place.leftovers(), 0);
    },
    [Symbol.asyncDispose]: async () => await place[Symbol.asyncDispose](),
  };
}

export function maintenanceSuite(gateway: Gateway): void {
  describe("maintenance of a bucket", () => {
    const settings = bucketSettings(gateway);

    // Beside the next test, which is a sample of it: on a gateway a round takes some 10 s.
    if (isFullRun) {
      testKilledMaintenance("import, copy and rm that are killed again and again lose nothing and leave nothing", {
        place: () => killedPrefix(gateway),
        kills: 5,
        files: 40,
      });
    }

    test("a copy that is killed is completed by the next one, beside a server that takes uploads and collects", async () => {
      const contents = [
        ...Array.from({ length: 40 }, (_, index) => Buffer.from(`text ${index}`)),
        randomBytes(20 * MIB),
      ];
      await using from = await StoreFolder.make();
      {
        await using store = diskStore({ root: from.path, durability: "none" });
        const fixity = createFixity({ store });
        for (const content of contents) await fixity.put(content);
      }
      await using place = new S3Place(gateway);
      const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix };
      const to = `s3://${gateway.bucket}/${place.prefix}`;
      await using server = await ServerProcess.start({ dir: "/nowhere/data", env });
      await using killed = new Command(["copy", from.path, to, "--json", "--concurrency", "1"], { env });
      await killed.prints(/copied/);
      killed.signal("SIGKILL");
      await killed.ended;
      const [copied, stored, collected] = await Promise.all([
        runCommand(["copy", from.path, to, "--json"], { env }),
        fetch(`${server.url}/uploads`, { method: "POST", body: "an upload meanwhile" }),
        runCommand(["gc"], { env }),
      ]);
      assert.deepEqual([copied.code, stored.status, collected.code], [0, 201, 0], copied.err + collected.err);
      assert.equal(jsonLines(copied.out).at(-1)?.["status"], "done");
      const listed = jsonLines((await runCommand(["ls", "--json"], { env })).out);
      const expected = [...contents, Buffer.from("an upload meanwhile")];
      assert.deepEqual(listed.at(-1)?.["blobs"], expected.length);
      await using back = await StoreFolder.make();
      const returned = await runCommand(["copy", to, back.path], { env: { ...env, UPLOAD_DURABILITY: "none" } });
      assert.equal(returned.code, 0, returned.err);
      assert.deepEqual(await back.wholeBlobs(), new Set(expected.map((content) => sha256(content))));
    });

    test("objects that others have stored are imported into another prefix, whatever their keys are", async () => {
      await using place = new S3Place(gateway);
      await using other = new S3Place(gateway);
      const client = new S3Client({
        endpoint: gateway.endpoint,
        region: gateway.region,
        forcePathStyle: true,
        credentials: { accessKeyId: gateway.accessKey, secretAccessKey: gateway.secretKey },
      });
      const objects = { "photo 1.JPG": "one", "a+b=c&d/(ü)?#%41 'x'.txt": "two", [`${sha256("three")}.bin`]: "3" };
      for (const [key, Body] of Object.entries(objects)) {
        await client.send(new PutObjectCommand({ Bucket: gateway.bucket, Key: `${other.prefix}/${key}`, Body }));
      }
      const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix };
      const { code, out, err } = await runCommand(["import", `s3://${gateway.bucket}/${other.prefix}`, "--json"], {
        env,
      });
      // The place itself removes only keys that need no encoding.
      for (const key of Object.keys(objects)) {
        await client.send(new DeleteObjectCommand({ Bucket: gateway.bucket, Key: `${other.prefix}/${key}` }));
      }
      client.destroy();
      assert.equal(code, 1, out + err);
      const [lines, last] = [jsonLines(out).slice(0, -1), jsonLines(out).at(-1)];
      assert.deepEqual([last?.["status"], last?.["imported"], last?.["damaged"]], ["done", 2, 1], out);
      assert.deepEqual(new Set(lines.map(({ file }) => file)), new Set(Object.keys(objects)));
      assert.equal(lines.find(({ file }) => file === "photo 1.JPG")?.["link"], `/uploads/${sha256("one")}.jpg`);
      assert.equal((await runCommand(["ls", "--summary"], { env })).out, "2 blobs, 6 bytes\n");
    });

    test("removed files are gone for a server, and no longer listed", async () => {
      await using place = new S3Place(gateway);
      const env = { ...settings, UPLOAD_BUCKET_PREFIX: place.prefix, UPLOAD_CACHE: "0" };
      await using server = await ServerProcess.start({ dir: "/nowhere/data", env });
      for (const body of ["one", "two"]) await fetch(`${server.url}/uploads`, { method: "POST", body });
      const { code, out } = await runCommand(["rm", "--yes", sha256("one"), sha256("absent")], { env });
      assert.equal(code, 1);
      assert.match(out, new RegExp(`^removed  sha256:${sha256("one")}$`, "m"));
      assert.equal((await fetch(`${server.url}/uploads/${sha256("one")}`)).status, 404);
      const { out: listed } = await runCommand(["ls", "--prefix", sha256("two").slice(0, 2)], { env });
      assert.match(listed, new RegExp(`^sha256:${sha256("two")} +3 `));
      assert.equal((await runCommand(["ls", "--summary"], { env })).out, "1 blob, 3 bytes\n");
    });
  });
}
