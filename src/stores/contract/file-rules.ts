import assert from "node:assert/strict";
import { appendFile, link, lstat, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FixityError } from "../../core/errors.ts";
import type { StagedFile, StageFileOptions } from "../../core/staged-blob.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Rule, RuleContext } from "./contract-place.ts";
import { assertAbsent, assertKept, content, digestOf, keep } from "./tools.ts";

const HOWS = ["clone", "link"] as const;

/** Runs `work` with a file of another program, on the file system of the store. */
async function withFile(
  { folder, store }: RuleContext,
  bytes: Uint8Array,
  work: (path: string) => Promise<void>,
): Promise<void> {
  await store.check();
  const outside = await mkdtemp(join(dirname(folder), "outside-"));
  try {
    const path = join(outside, "file");
    await writeFile(path, bytes, { mode: 0o644 });
    await work(path);
  } finally {
    await rm(outside, { recursive: true });
  }
}

/** Not every file system has clones, or links. */
async function stagedFile(store: BlobStore, path: string, how: StageFileOptions["how"]): Promise<StagedFile | null> {
  return (await store.stageFile?.(path, { how })) ?? null;
}

async function read(staged: StagedFile): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of staged.bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What a store promises of files that it stages without copying them. */
export const FILE_RULES: readonly Rule[] = [
  {
    name: "a staged file is read back, becomes a blob only by its commit, and keeps its own name",
    needs: ["stageFile", "folder"],
    async run(context) {
      for (const [index, how] of HOWS.entries()) {
        const bytes = content(300_000, 70 + index);
        let isStaged = false;
        await withFile(context, bytes, async (path) => {
          await using staged = await stagedFile(context.store, path, how);
          if (staged === null) return;
          isStaged = true;
          assert.equal(staged.size, bytes.length);
          assert((await read(staged)).equals(bytes));
          await assertAbsent(context.store, digestOf(bytes));
          assert.deepEqual(await staged.commit(digestOf(bytes)), { existed: false });
          await assertKept(context.store, bytes);
          assert((await readFile(path)).equals(bytes));
        });
        // The removal of its own name does not concern the blob.
        if (isStaged) await assertKept(context.store, bytes);
      }
    },
  },
  {
    name: "a staged file whose content is stored already leaves that blob and nothing else",
    needs: ["stageFile", "folder"],
    async run(context) {
      const bytes = content(1000, 72);
      await keep(context.store, bytes);
      for (const how of HOWS) {
        await withFile(context, bytes, async (path) => {
          await using staged = await stagedFile(context.store, path, how);
          if (staged === null) return;
          await read(staged);
          assert.deepEqual(await staged.commit(digestOf(bytes)), { existed: true });
        });
      }
      await assertKept(context.store, bytes);
    },
  },
  {
    name: "an aborted staged file leaves nothing but the file itself, whose mode is unchanged",
    needs: ["stageFile", "folder"],
    async run(context) {
      const bytes = content(1000, 73);
      for (const how of HOWS) {
        await withFile(context, bytes, async (path) => {
          const staged = await stagedFile(context.store, path, how);
          await staged?.abort();
          await staged?.abort();
          const { mode, nlink } = await lstat(path);
          assert.deepEqual([mode & 0o777, nlink], [0o644, 1]);
        });
      }
      await assertAbsent(context.store, digestOf(bytes));
    },
  },
  {
    name: "a linked file that is written to before its commit is not published",
    needs: ["stageFile", "folder"],
    async run(context) {
      const bytes = content(1000, 74);
      await withFile(context, bytes, async (path) => {
        await using staged = await stagedFile(context.store, path, "link");
        if (staged === null) return;
        await read(staged);
        await appendFile(path, "more");
        await assert.rejects(
          staged.commit(digestOf(bytes)),
          (error) => error instanceof FixityError && error.code === "length-mismatch",
        );
      });
      await assertAbsent(context.store, digestOf(bytes));
    },
  },
  {
    name: "a linked file that has other names is published once, and is then read-only",
    needs: ["stageFile", "folder"],
    async run(context) {
      const bytes = content(1000, 75);
      await withFile(context, bytes, async (path) => {
        await link(path, `${path}-2`);
        await using one = await stagedFile(context.store, path, "link");
        await using other = await stagedFile(context.store, `${path}-2`, "link");
        if (one === null || other === null) return;
        await read(one);
        await read(other);
        assert.deepEqual(await one.commit(digestOf(bytes)), { existed: false });
        await other.commit(digestOf(bytes)).catch((error: unknown) => assert(error instanceof FixityError));
        assert.equal((await lstat(path)).mode & 0o222, 0);
      });
      await assertKept(context.store, bytes);
    },
  },
  {
    name: "symbolic links, folders and missing files are not staged",
    needs: ["stageFile", "folder"],
    async run(context) {
      await withFile(context, content(1000, 76), async (path) => {
        await symlink(path, `${path}-link`);
        for (const how of HOWS) {
          for (const name of [`${path}-link`, dirname(path), `${path}-missing`]) {
            assert.equal(await stagedFile(context.store, name, how), null, `${how} ${name}`);
          }
        }
      });
    },
  },
];
