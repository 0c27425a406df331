import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { ROUTES, uploadBy } from "../helpers/upload-routes.ts";

const run = promisify(execFile);
const MIB = 1024 * 1024;
const TOKEN = "a-token-of-this-test";

/** What file systems in user space refuse or hide, as bindfs does it. */
const MOUNTS: Readonly<Record<string, readonly string[]>> = {
  "modes cannot be changed": ["--chmod-deny"],
  "neither modes nor owners can be changed": ["--chmod-deny", "--chown-deny", "--chgrp-deny"],
  "links are not counted, and modes cannot be changed": ["--hide-hard-links", "--chmod-deny"],
  "changes of modes are ignored": ["--chmod-ignore", "--chown-ignore", "--chgrp-ignore"],
};

/** A folder behind a real FUSE file system. */
class FuseMount implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "mount");
  }

  static async make(options: readonly string[]): Promise<FuseMount> {
    const mount = new FuseMount(await mkdtemp(join(tmpdir(), "fixity-test-")));
    const behind = join(mount.#folder, "behind");
    await mkdir(behind);
    await mkdir(mount.path);
    await run("bindfs", [...options, behind, mount.path]);
    return mount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", ["-l", this.path]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Appends to an upload by tus; the offset behind it. */
async function append(url: string, offset: number, bytes: Buffer): Promise<number> {
  const headers = {
    authorization: `Bearer ${TOKEN}`,
    "tus-resumable": "1.0.0",
    "upload-offset": String(offset),
    "content-type": "application/offset+octet-stream",
  };
  const answer = await fetch(url, { method: "PATCH", headers, body: bytes });
  assert.equal(answer.status, 204, await answer.text());
  return Number(answer.headers.get("upload-offset"));
}

for (const [what, options] of Object.entries(MOUNTS)) {
  test(
    `a store on FUSE where ${what}: every upload is stored, resumed, taken over, verified and removed`,
    needing("bindfs"),
    async () => {
      await using mount = await FuseMount.make(options);
      const dir = join(mount.path, "data");
      const open = { UPLOAD_OPEN: "yes" };
      const contents: Buffer[] = [];
      const expect = async (server: ServerProcess) => {
        for (const content of contents) {
          const answer = await fetch(`${server.url}/uploads/${sha256(content)}`);
          assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(content));
        }
      };
      const create = async (server: ServerProcess, size: number) => {
        const headers = { "tus-resumable": "1.0.0", "upload-length": String(size) };
        const answer = await fetch(`${server.url}/uploads`, { method: "POST", headers });
        return answer.headers.get("location") ?? "";
      };
      const resumed = randomBytes(3 * MIB);
      const takenOver = randomBytes(2 * MIB);
      let upload: string;
      {
        await using server = await ServerProcess.start({ dir, env: open });
        for (const route of ROUTES) {
          for (const size of [0, 10, 2 * MIB]) {
            const content = Buffer.concat([Buffer.from(route), randomBytes(size)]);
            assert.equal(
              (await uploadBy(route, server.port, content)).link?.split(".")[0],
              `/uploads/${sha256(content)}`,
            );
            contents.push(content);
          }
        }
        const answer = await fetch(`${server.url}/uploads`, {
          method: "POST",
          headers: { "upload-complete": "?1" },
          body: resumed,
        });
        assert.equal(answer.status, 201);
        upload = await create(server, takenOver.length);
        await append(server.url + upload, 0, takenOver.subarray(0, MIB / 2));
        await server.stop("SIGKILL");
      }
      // the killed one's upload is continued by one instance, then by another beside it
      await using server = await ServerProcess.start({ dir, env: { UPLOAD_TOKENS: TOKEN } });
      await append(server.url + upload, MIB / 2, takenOver.subarray(MIB / 2, MIB));
      await using other = await ServerProcess.start({ dir, env: open });
      assert.equal(await append(other.url + upload, MIB, takenOver.subarray(MIB)), takenOver.length);
      contents.push(resumed, takenOver);
      await expect(server);
      const verified = await runCommand(["verify", "--dir", dir]);
      assert.equal(verified.code, 0, verified.out + verified.err);
      const collected = await runCommand(["gc", "--dir", dir]);
      assert.equal(collected.code, 0, collected.out + collected.err);
      const examined = await runCommand(["doctor", "--dir", dir]);
      assert.equal(examined.code, 0, examined.out + examined.err);
      await expect(other);
      for (const content of contents) {
        const link = `${server.url}/uploads/${sha256(content)}`;
        const removed = await fetch(link, { method: "DELETE", headers: { authorization: `Bearer ${TOKEN}` } });
        assert.equal(removed.status, 204);
        assert.equal((await fetch(link)).status, 404);
      }
    },
  );
}
