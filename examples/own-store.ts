// A custom store in an SQLite table, and the test suite that verifies it:
//     node examples/own-store.ts
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type BlobStat, type BlobStore, ByteRange, Digest, FixityError } from "fixity";
import { storeContract } from "fixity/store-contract";

function sqliteStore(file: string): BlobStore {
  const database = new DatabaseSync(file, { timeout: 10_000 });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec(
    "CREATE TABLE IF NOT EXISTS blobs (hex TEXT PRIMARY KEY, bytes BLOB NOT NULL, modified INTEGER NOT NULL)",
  );
  const facts = database.prepare("SELECT hex, length(bytes) AS size, modified FROM blobs WHERE hex = ?");
  const all = database.prepare("SELECT hex, length(bytes) AS size, modified FROM blobs");
  const slice = database.prepare("SELECT substr(bytes, ? + 1, ?) AS bytes FROM blobs WHERE hex = ?");
  // An existing blob stays here, unless its size is wrong; the judge of a commit may decide otherwise. One statement, so that exactly one of several concurrent commits inserts.
  const insert = database.prepare(
    "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (hex) DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified " +
      "WHERE length(bytes) <> length(excluded.bytes)",
  );
  const replace = database.prepare("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)");
  const erase = database.prepare("DELETE FROM blobs WHERE hex = ?");

  const statOf = ({ hex, size, modified }: Record<string, unknown>): BlobStat => {
    return { digest: Digest.parse(String(hex)), size: Number(size), modified: new Date(Number(modified)) };
  };

  const store: BlobStore = {
    kind: "sqlite",
    description: `SQLite at ${file}`,
    check: async (signal) => signal?.throwIfAborted(),
    async stat(digest, signal) {
      signal?.throwIfAborted();
      const row = facts.get(digest.hex);
      return row === undefined ? null : statOf(row);
    },
    confirm: (digest, signal) => store.stat(digest, signal),
    async open(digest, { range, signal } = {}) {
      const stat = await store.stat(digest, signal);
      if (stat === null) return null;
      const span = ByteRange.resolve(range, stat.size);
      let closed = false;
      return {
        size: stat.size,
        span,
        async *[Symbol.asyncIterator]() {
          for (let at = span.start; at < span.end; at += 65_536) {
            signal?.throwIfAborted();
            if (closed) throw new FixityError("store-unavailable", "The blob was closed before its end.");
            const length = Math.min(65_536, span.end - at);
            const bytes = slice.get(at, length, digest.hex)?.["bytes"];
            if (!(bytes instanceof Uint8Array)) throw new FixityError("blob-damaged", "The blob was removed.");
            yield bytes;
          }
        },
        [Symbol.asyncDispose]: async () => void (closed = true),
      };
    },
    async *list(signal) {
      for (const row of all.all()) {
        signal?.throwIfAborted();
        yield statOf(row);
      }
    },
    async remove(digest, signal) {
      signal?.throwIfAborted();
      return erase.run(digest.hex).changes > 0;
    },
    async stage({ signal } = {}) {
      signal?.throwIfAborted();
      let chunks: Uint8Array[] | null = [];
      const end = (): void => void (chunks = null);
      const usable = (): Uint8Array[] => {
        signal?.throwIfAborted();
        if (chunks === null) throw new FixityError("internal-error", "The staged blob has ended.");
        return chunks;
      };
      return {
        write: (bytes) => void usable().push(bytes),
        async commit(digest, { judge } = {}) {
          const bytes = Buffer.concat(usable());
          end();
          for (;;) {
            if (insert.run(digest.hex, bytes, Date.now()).changes > 0) return { existed: false };
            const stored = await store.stat(digest);
            // Removed since: insert again.
            if (stored === null) continue;
            const verdict = (await judge?.(stored)) ?? "keep";
            if (verdict !== "keep") replace.run(digest.hex, bytes, Date.now());
            return { existed: verdict !== "damaged" };
          }
        },
        abort: async () => end(),
        [Symbol.asyncDispose]: async () => end(),
      };
    },
    async collect(signal) {
      signal?.throwIfAborted();
      return { staged: 0, bytes: 0 };
    },
    [Symbol.asyncDispose]: async () => void (database.isOpen && database.close()),
  };
  return store;
}

storeContract("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fixity-sqlite-"));
  return {
    store: sqliteStore(join(folder, "blobs.db")),
    another: async () => sqliteStore(join(folder, "blobs.db")),
    cleanup: async () => rmSync(folder, { recursive: true }),
  };
});
