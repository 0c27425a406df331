/** docs/guides/from-multer-s3.md on a real bucket: an app with multer-s3, its step to fixity, and its old objects. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Guide, type Replacements } from "../helpers/guide.ts";
import { sha256 } from "../helpers/service.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

export function multerMigrationSuite(gateway: Gateway): void {
  const { endpoint, region, bucket, accessKey, secretKey } = gateway;
  const { UPLOAD_BUCKET_NAME: _, ...settings } = bucketSettings(gateway);
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };

  describe("the migration from multer-s3", () => {
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
      const names = { "my-app": bucket, "eu-central-1": region, "=files": `=${files}` };
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
