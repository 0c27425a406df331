/** A server that is killed while an upload repairs a damaged file that it has marked. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { linkTo, uploadBy } from "../helpers/upload-routes.ts";
import { type Deed, killAtCalls, MarkedPlace } from "./marked-place.ts";

const KIB = 1024;
const TUS = { "Tus-Resumable": "1.0.0" };

/** Reads the files, so that the server marks them. */
async function mark(place: MarkedPlace, { url }: ServerProcess): Promise<void> {
  for (const { bytes } of place.files) {
    // A large file is broken off the first time.
    await fetch(url + linkTo(bytes))
      .then((answer) => answer.arrayBuffer())
      .catch(() => null);
    assert.equal((await fetch(url + linkTo(bytes))).status, 500);
  }
}

/** `count` contents whose blobs are in one folder. */
function contentsInOneFolder(count: number, random: Random): Buffer[] {
  const contents: Buffer[] = [];
  while (contents.length < count) {
    const content = random.bytes(KIB);
    if (contents.every((other) => sha256(other).slice(0, 2) === sha256(content).slice(0, 2))) contents.push(content);
  }
  return contents;
}

describe("a server killed at any call on files while it repairs", needing("strace"), () => {
  test("by a resumable upload leaves a file that is refused or whole, and another upload repairs it", async (t) => {
    const random = new Random();
    t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
    const size = 600 * KIB;
    const half = size / 2;
    let location = "";
    const append = (url: string, bytes: Buffer, offset: number): Promise<Response> => {
      const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
      return fetch(url + location, { method: "PATCH", headers, body: Buffer.from(bytes) });
    };
    const deed: Deed = {
      madeOf: ["openat", "pwrite64", "fsync", "link", "rename", "unlink", "close"],
      make: () => MarkedPlace.make([random.bytes(size)]),
      prepare: async (place, server) => {
        await mark(place, server);
        const headers = { ...TUS, "Upload-Length": String(size) };
        const created = await fetch(`${server.url}/uploads`, { method: "POST", headers });
        location = created.headers.get("Location") ?? assert.fail();
        const [{ bytes }] = place.files as [MarkedPlace["files"][number]];
        assert.equal((await append(server.url, bytes.subarray(0, half), 0)).status, 204);
      },
      act: async (place, { url }) => {
        const [{ bytes }] = place.files as [MarkedPlace["files"][number]];
        const answer = await append(url, bytes.subarray(half), half).catch(() => null);
        if (answer !== null) assert.equal(answer.status, 204);
      },
    };
    const kills = await killAtCalls(deed, 3, random);
    t.diagnostic(`${kills.length} kills: ${kills.join(" ")}`);
    assert.ok(kills.length >= (isFullRun ? 10 : 1));
  });

  test("by small uploads that arrive together leaves files that are refused or whole", async (t) => {
    const random = new Random();
    t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
    /** Contents that are new, and make the server write in its threads. */
    let others: Buffer[] = [];
    const deed: Deed = {
      madeOf: ["openat", "write", "fsync", "link", "rename", "unlink", "close"],
      linkingThreads: 2,
      make: () => {
        const contents = contentsInOneFolder(18, random);
        others = contents.slice(4);
        return MarkedPlace.make(contents.slice(0, 4));
      },
      prepare: async (place, server) => {
        await mark(place, server);
        const upload = (content: Buffer): Promise<unknown> => uploadBy("raw", server.port, content);
        // The threads run from now on, and the folder of the blobs is known to be durable.
        await Promise.all(others.splice(0, 8).map(upload));
        await upload(others.splice(0, 1)[0] ?? assert.fail());
      },
      act: async (place, { port }) => {
        const contents = [...place.files.map(({ bytes }) => bytes), ...others];
        await Promise.all(contents.map((content) => uploadBy("raw", port, content).catch(() => null)));
      },
    };
    const kills = await killAtCalls(deed, 2, random);
    t.diagnostic(`${kills.length} kills: ${kills.join(" ")}`);
    assert.ok(kills.length >= (isFullRun ? 10 : 1));
  });
});
