import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "../../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../../test/s3/scripted-server.ts";
import { listObjects, listParts, listMultipartUploads, type Page } from "./listing.ts";
import { S3Error } from "./s3-error.ts";

const TIME = "2026-11-23T08:00:00.000Z";

async function all<T>(pages: AsyncIterable<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page.items);
  return items;
}

const upload = (key: string, id: string) =>
  `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${TIME}</Initiated></Upload>`;
const part = (number: number) =>
  `<Part><PartNumber>${number}</PartNumber><ETag>abc</ETag><Size>5</Size><LastModified>${TIME}</LastModified></Part>`;

test("multipart uploads are listed page by page, after the last key and the last id", async () => {
  await using server = await ScriptedServer.start();
  server.once(
    "ListMultipartUploads",
    xml(
      "ListMultipartUploadsResult",
      `<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>2~x/+</NextUploadIdMarker>${upload("a", "1")}${upload("a", "2~x/+")}`,
    ),
    // the next page begins with the same key
    xml(
      "ListMultipartUploadsResult",
      `<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>3</NextUploadIdMarker>${upload("a", "3")}`,
    ),
    xml("ListMultipartUploadsResult", upload("b", "4")),
  );
  const client = server.client();
  const found = await all(listMultipartUploads(client, "p/"));
  await client.destroy();
  assert.deepEqual(
    found.map(({ key, uploadId }) => key + uploadId),
    ["a1", "a2~x/+", "a3", "b4"],
  );
  assert.deepEqual(
    server.seen.map(({ query }) => [query.get("prefix"), query.get("key-marker"), query.get("upload-id-marker")]),
    [
      ["p/", null, null],
      ["p/", "a", "2~x/+"],
      ["p/", "a", "3"],
    ],
  );
});

test("parts are listed page by page", async () => {
  await using server = await ScriptedServer.start();
  const more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>";
  server.once("ListParts", xml("ListPartsResult", more + part(1)), xml("ListPartsResult", part(2)));
  const client = server.client();
  const found = await all(listParts(client, { key: "k", uploadId: "u" }));
  await client.destroy();
  assert.deepEqual(
    found.map(({ etag, size }) => [etag, size]),
    [
      ['"abc"', 5],
      ['"abc"', 5],
    ],
  );
  assert.equal(server.seen[1]?.query.get("part-number-marker"), "1");
});

test("an entry without a required element is an error, and is not skipped", async () => {
  const object = (fields: string) => xml("ListBucketResult", `<Contents>${fields}</Contents>`);
  await using server = await ScriptedServer.start();
  const client = server.client({ attempts: 1 });
  for (const answer of [
    object(`<Size>5</Size><LastModified>${TIME}</LastModified>`),
    object(`<Key>k</Key><LastModified>${TIME}</LastModified>`),
    object(`<Key>k</Key><Size>many</Size><LastModified>${TIME}</LastModified>`),
    object(`<Key>k</Key><Size>99999999999999999999</Size><LastModified>${TIME}</LastModified>`),
    object("<Key>k</Key><Size>5</Size><LastModified>yesterday</LastModified>"),
  ]) {
    server.once("ListObjectsV2", answer);
    await assert.rejects(all(listObjects(client, "")), (error) => error instanceof S3Error);
  }
  await client.destroy();
});
