import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../core/digest.ts";
import type { PresignedUrl } from "../../core/presigning.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Rule } from "./contract-place.ts";
import { content, digestOf, keep, writeAll } from "./tools.ts";

const LIFETIME_SECONDS = 60;

const RESPONSE_FIELDS = {
  contentType: "image/png",
  contentDisposition: 'attachment; filename="a b.png"',
  cacheControl: "no-cache",
};

function pathOf(store: BlobStore, folder: string, digest: Digest): string {
  const path = store.filePath?.(digest) ?? assert.fail();
  assert.match(path, /^[^/\\]+(?:\/[^/\\]+)*$/, "a path below the folder, with slashes");
  assert(!path.split("/").some((name) => name === "." || name === ".."), "no way out of the folder");
  return join(folder, path);
}

async function presigned(store: BlobStore, digest: Digest): Promise<PresignedUrl> {
  return (
    (await store.presign?.(digest, { lifetime: LIFETIME_SECONDS, responseFields: RESPONSE_FIELDS })) ?? assert.fail()
  );
}

/** How other programs read blobs directly. */
export const DIRECT_RULES: readonly Rule[] = [
  {
    name: "filePath leads to the bytes of a stored blob, and to nothing while it is not stored",
    needs: ["folder", "filePath"],
    run: async ({ store, folder, largest }) => {
      for (const bytes of [new Uint8Array(), content(10), content(largest)]) {
        const digest = digestOf(bytes);
        const path = pathOf(store, folder, digest);
        await using staged = await store.stage({ digest });
        await writeAll(staged, bytes);
        await assert.rejects(readFile(path), { code: "ENOENT" });
        await staged.commit(digest);
        assert((await readFile(path)).equals(bytes));
        await store.remove(digest);
        await assert.rejects(readFile(path), { code: "ENOENT" });
      }
    },
  },
  {
    name: "a presigned URL serves the blob or a range of it, with the response fields it was made for",
    needs: ["presign"],
    run: async ({ store, largest }) => {
      for (const bytes of [new Uint8Array(), content(10), content(largest)]) {
        await keep(store, bytes);
        const { url } = await presigned(store, digestOf(bytes));
        const answer = await fetch(url);
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get("content-type"), RESPONSE_FIELDS.contentType);
        assert.equal(answer.headers.get("content-disposition"), RESPONSE_FIELDS.contentDisposition);
        assert.equal(answer.headers.get("cache-control"), RESPONSE_FIELDS.cacheControl);
        assert(Buffer.from(await answer.arrayBuffer()).equals(bytes));
      }
      const { url } = await presigned(store, digestOf(content(10)));
      const range = await fetch(url, { headers: { range: "bytes=2-5" } });
      assert.equal(range.status, 206);
      assert(Buffer.from(await range.arrayBuffer()).equals(content(10).subarray(2, 6)));
    },
  },
  {
    name: "a presigned URL is valid now and expires within its lifetime",
    needs: ["presign"],
    run: async ({ store }) => {
      const before = Date.now();
      const { expires } = await presigned(store, digestOf(content(10)));
      assert(expires.getTime() > before && expires.getTime() <= Date.now() + LIFETIME_SECONDS * 1000);
    },
  },
  {
    name: "a presigned URL of an absent blob answers with an error, and with the blob once it is stored",
    needs: ["presign"],
    run: async ({ store }) => {
      const { url } = await presigned(store, digestOf(content(10)));
      const missing = await fetch(url);
      await missing.arrayBuffer();
      assert(missing.status >= 400);
      await keep(store, content(10));
      const found = await fetch(url);
      assert(Buffer.from(await found.arrayBuffer()).equals(content(10)));
    },
  },
];
