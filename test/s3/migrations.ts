/** Migrations on a real bucket: docs/guides/from-multer-s3.md with its app before and after, and objects of tusd. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { jsonLines } from "../helpers/command.ts";
import { Guide, type Replacements } from "../helpers/guide.ts";
import { sha256 } from "../helpers/service.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

export function migrationsSuite(gateway: Gateway): void {
  const { endpoint, region, bucket, accessKey, secretKey } = gateway;
  const { UPLOAD_BUCKET_NAME: _, ...settings } = bucketSettings(gateway);
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };

  describe("migrations within a bucket", () => {
    test("objects of multer-s3 get permanent links, and their old URLs lead to them", async () => {
      await using place = new S3Place(gateway);
      await using guide = await Guide.open("from-multer-s3");
      await using general = await Guide.open("from-multer");
      const photos = `${place.prefix}/photos`;
      const files = `${place.prefix}/files`;

      let old = "";
      {
        const client = JSON.stringify({ endpoint, region, forcePathStyle: true, credentials });
        const places = { '{ region: "eu-central-1" }': client, '"my-app"': `"${bucket}"`, "`photos/": `\`${photos}/` };
        const before = guide.code("// before", places).replace("`/${request.file.key}`", "request.file.key");
        await using app = await guide.start(before);
        old = ((await post(app.url, "one")) as { file: string }).file.replace(place.prefix, "");
        assert.equal(await (await fetch(app.url + old)).text(), "one");
      }

      const store = JSON.stringify({ endpoint, region, bucket, keyPrefix: files, accessKey, secretKey });
      const own: Replacements = { '{ bucket: "my-app", region: "eu-central-1", keyPrefix: "files" }': store };
      const storage = general.code("// the storage", {
        'import { diskStore } from "fixity/disk";': "",
        'store: diskStore({ root: "data" })': "store",
      });
      const names = { "my-app": bucket, "eu-central-1": region, "PREFIX=files": `PREFIX=${files}` };
      const importing = guide.code("fixity import", { ...names, "/photos": `/${photos}` });
      const imported = await guide.shell(importing, settings);
      assert.equal(imported.code, 0, imported.err);

      await using app = await guide.start(guide.code("// the store", own) + storage + guide.code("// old URLs"));
      const { file, album } = (await post(app.url, "two")) as { file: string; album: string };
      assert.deepEqual([file, album], [`/uploads/${sha256("two")}.png`, "summer"]);
      assert.equal(await (await fetch(app.url + file)).text(), "two");
      const redirected = await fetch(app.url + old);
      assert.equal(redirected.url, `${app.url}/uploads/${sha256("one")}.png`);
      assert.equal(await redirected.text(), "one");
      const verified = await guide.shell(guide.code("fixity verify", names), settings);
      assert.equal(verified.code, 0, verified.err);
    });

    test("finished uploads of tusd get links by their names, unfinished ones are skipped", async () => {
      await using place = new S3Place(gateway);
      await using guide = await Guide.open("from-tusd");
      const id = "24e533e02ec3bc40c387f1a0e460e216";
      for (const [key, size, content] of [
        [id, 5, "hello"],
        ["unfinished", 9, null],
      ] as const) {
        const info = {
          ID: `${key}+2~8bIdb4`,
          Size: size,
          SizeIsDeferred: false,
          Offset: 0,
          MetaData: { filename: "a.PNG" },
        };
        const text = JSON.stringify({ ...info, IsPartial: false, Storage: { Type: "s3store", Bucket: bucket } });
        await place.put(`${place.prefix}/tusd/${key}.info`, Buffer.from(text));
        if (content !== null) await place.put(`${place.prefix}/tusd/${key}`, Buffer.from(content));
      }
      await place.put(`${place.prefix}/tusd/unfinished.part`, Buffer.from("hel"));
      const places = {
        "my-bucket": bucket,
        "PREFIX=fixity": `PREFIX=${place.prefix}/fixity`,
        "/tusd": `/${place.prefix}/tusd`,
      };
      const { code, err } = await guide.shell(guide.code("--tus s3://", places), settings);
      assert.equal(code, 0, err);
      const lines = jsonLines((await guide.shell("cat imported.jsonl")).out);
      const outcomes = lines.map(({ status, file, link }) => [status, file, link].map(String).join(" "));
      const expected = [`imported ${id} /uploads/${sha256("hello")}.png`, "skipped unfinished.part undefined"];
      assert.deepEqual(new Set(outcomes), new Set([...expected, "done undefined undefined"]));
    });
  });
}

async function post(url: string, content: string): Promise<unknown> {
  const form = new FormData();
  form.append("album", "summer");
  form.append("photo", new Blob([content]), "Beach.png");
  const response = await fetch(`${url}/photos`, { method: "POST", body: form });
  assert.equal(response.status, 201, await response.clone().text());
  return response.json();
}
