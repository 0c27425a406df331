/** What a webhook learns of damage and repair. */
import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity, type FixityEvent } from "../../src/index.ts";
import { digestOf } from "../../src/stores/contract/tools.ts";

const BYTES = Buffer.from("what was uploaded");
const OTHERS = Buffer.from("what has decayed!");
const digest = digestOf(BYTES);

async function until(check: () => boolean): Promise<void> {
  while (!check()) await sleep(5);
}

test("damage is delivered once for each damaged copy, and its repair once", async () => {
  const root = await mkdtemp(join(tmpdir(), "fixity-events-"));
  try {
    await using store = diskStore({ root });
    const received: FixityEvent[] = [];
    const events = { deliver: (event: FixityEvent): void => void received.push(event) };
    const log = (): void => undefined;
    await using fixity = createFixity({ store, events, log });
    await using other = createFixity({ store, events, log });
    const damage = async (): Promise<void> => {
      const path = join(root, store.filePath?.(digest) ?? assert.fail());
      await chmod(path, 0o600);
      await writeFile(path, OTHERS);
    };
    await fixity.put(BYTES);
    await damage();
    for (const service of [fixity, other, fixity]) assert.equal((await service.verify(digest))?.intact, false);
    await other.put(BYTES);
    for (const service of [fixity, other, fixity]) assert.equal((await service.verify(digest))?.intact, true);
    await until(() => received.some(({ type }) => type === "blob.repaired"));
    const distinct = new Map(received.map((event) => [event.id, event]));
    assert.deepEqual([...distinct.values()].map(({ type }) => type).sort(), [
      "blob.damaged",
      "blob.repaired",
      "blob.stored",
      "blob.stored",
    ]);
    const damaged = received.find(({ type }) => type === "blob.damaged");
    assert.deepEqual(damaged?.data, {
      digest: digest.toString(),
      url: `/uploads/${digest.hex}`,
      size: OTHERS.length,
      found: digestOf(OTHERS).toString(),
    });
    const stored = received.filter((event) => event.type === "blob.stored");
    assert.deepEqual(
      stored.map(({ data }) => data.existed),
      [false, false],
    );
    await damage();
    await fixity.verify(digest);
    assert.equal(await fixity.remove(digest), true);
    // An event of before may be delivered again.
    const later = (): string[] => {
      const others = received.filter(({ id }) => !distinct.has(id));
      return Array.from(new Map(others.map(({ id, type }) => [id, type])).values()).sort();
    };
    await until(() => later().length >= 2);
    assert.deepEqual(later(), ["blob.damaged", "blob.removed"], "another copy, another event");
  } finally {
    await rm(root, { recursive: true });
  }
});
