import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Ended, runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** Runs a command in the folder of these tests. */
function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return runCommand(args, { env, cwd: folder });
}

/** The server must refuse to start with one line that says what to do, without a stack. */
async function assertRefused(env: Record<string, string>, line: RegExp): Promise<void> {
  const { code, out, err } = await run(["serve"], { PORT: "0", UPLOAD_DIR: join(folder, "data"), ...env });
  assert.deepEqual([code, out], [1, ""], err);
  assert.match(err, line);
  assert.equal(err.trimEnd().split("\n").length, 1, err);
  assert.match(err, /^fixity: /);
}

test("at its start the server prints its URL, its store and a command to try", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "data") });
  assert.match(server.output, /^Listening on http:\/\/127\.0\.0\.1:\d+, storing files in \S*data\n/);
  assert.match(server.output, /curl -F upload=@FILE http:\/\/127\.0\.0\.1:\d+\/uploads\n/);
});

test("a server that anybody can upload to says so at its start", async () => {
  const env = { HOST: "0.0.0.0", UPLOAD_OPEN: "yes" };
  await using server = await ServerProcess.start({ dir: join(folder, "open"), env });
  assert.match(server.output, /^Listening on http:\/\/localhost:\d+, storing/);
  assert.match(server.output, /^UPLOAD_OPEN=yes: anybody who reaches this server can upload\.$/m);
});

test("standard output contains only the log", async () => {
  const env = { PATH: process.env["PATH"], PORT: "0", UPLOAD_DIR: join(folder, "out") };
  const child = spawn(process.execPath, [MAIN, "serve"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  await once(child.stderr, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "close"), [0, null]);
  const lines = out.trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ["stopping: running uploads have 30 s to finish"],
  );
});

test("a port that is taken is refused", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  try {
    await assertRefused(
      { PORT: String(port) },
      new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is taken\\. Choose another`),
    );
  } finally {
    taken.close();
  }
});

test("a host that is unknown, or of another machine, is refused", async () => {
  await assertRefused({ HOST: "no-such-host.invalid", UPLOAD_OPEN: "yes" }, /no-such-host\.invalid/);
  await assertRefused({ HOST: "192.0.2.1", UPLOAD_OPEN: "yes" }, /192\.0\.2\.1 is not an address of this machine/);
});

test("a file in place of the folder is refused", async () => {
  const file = join(folder, "a-file");
  await writeFile(file, "");
  await assertRefused({ UPLOAD_DIR: file }, /is a file/);
  await assertRefused({ UPLOAD_DIR: join(file, "below") }, /is a file/);
});

test("a read-only folder is refused", needing("a mounted tmpfs"), async () => {
  const script = `mount -t tmpfs -o ro,size=64k tmpfs "$0" && exec "$@"`;
  const mount = await mkdtemp(join(folder, "ro-"));
  const under = ["unshare", "--mount", "sh", "-c", script, mount];
  const ended = await runCommand(["serve"], { env: { PORT: "0", UPLOAD_DIR: mount }, under });
  assert.equal(ended.code, 1);
  assert.match(ended.err, /^fixity: .*read-only/);
});

test("an invalid bucket, or one that cannot be reached, is refused", async () => {
  const bucket = {
    UPLOAD_BUCKET_ENDPOINT: "http://127.0.0.1:1",
    UPLOAD_BUCKET_ACCESS_KEY: "a",
    UPLOAD_BUCKET_SECRET_KEY: "b",
  };
  await assertRefused({ ...bucket, UPLOAD_BUCKET_NAME: "up loads" }, /UPLOAD_BUCKET_NAME must be the name of a bucket/);
  const tooSmall = { ...bucket, UPLOAD_BUCKET_NAME: "uploads", UPLOAD_BUCKET_PART_SIZE: "1MiB" };
  await assertRefused(tooSmall, /UPLOAD_BUCKET_PART_SIZE must be a whole number from 5242880 to/);
  await assertRefused({ ...bucket, UPLOAD_BUCKET_NAME: "uploads" }, /Nothing listens at 127\.0\.0\.1:1\.$/m);
});

test("a prefix that is one of the server's own paths is refused", async () => {
  for (const UPLOAD_PREFIX of ["/healthz", "/page", "/page/uploads"]) {
    await assertRefused(
      { UPLOAD_PREFIX },
      /UPLOAD_PREFIX must be another path: \/(healthz|page|page\/uploads) is the server's own/,
    );
  }
});

test("a current folder that no longer exists is refused", async () => {
  const gone = await mkdtemp(join(folder, "gone-"));
  const under = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"];
  const ended = await runCommand(["serve"], { env: { PORT: "0" }, cwd: gone, under });
  const line =
    "fixity: The current folder is gone. Start from another, or name the store's folder by its whole path.\n";
  assert.deepEqual([ended.code, ended.err], [1, line]);
});

test("wrong settings and flags are refused by name", async () => {
  const { code, err } = await run(["serve", "--max-size", "lots"], { UPLOAD_DIRR: "x", PORT: "0" });
  assert.equal(code, 1);
  assert.match(err, /^fixity: Unknown setting UPLOAD_DIRR\. Did you mean UPLOAD_DIR\?$/m);
  assert.match(err, /^fixity: --max-size must be a size/m);
  const unknown = await run(["serve", "--dirr", "x"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /unknown option '--dirr'/);
});

test("the help lists every setting with its variable and default, and no flag for a secret", async () => {
  const { out } = await run(["serve", "--help"]);
  const text = out.replace(/\s+/g, " ");
  assert.match(text, /--max-size <size> maximum size of a file \(UPLOAD_MAX_SIZE, default 5GiB\)/);
  assert.match(text, /Only from the environment: UPLOAD_TOKENS/);
  assert.doesNotMatch(text, /--tokens |--bucket-secret-key/);
});

test("--version prints the version of the package", async () => {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  assert.equal((await run(["--version"])).out.trim(), (JSON.parse(text) as { version: string }).version);
});

test(
  "libuv has eight threads instead of its usual four, unless UV_THREADPOOL_SIZE is set",
  needing("/proc"),
  async () => {
    const threads = async (env: Record<string, string>): Promise<number> => {
      await using server = await ServerProcess.start({ dir: join(folder, "threads"), env });
      await Promise.all(
        Array.from({ length: 20 }, (_, number) =>
          fetch(`${server.url}/uploads`, { method: "POST", body: `${number}` }),
        ),
      );
      const tasks = await readdir(`/proc/${server.pid}/task`);
      const names = await Promise.all(tasks.map((task) => readFile(`/proc/${server.pid}/task/${task}/comm`, "utf8")));
      return names.filter((name) => name.startsWith("libuv-worker")).length;
    };
    assert.equal(await threads({}), 8);
    assert.equal(await threads({ UV_THREADPOOL_SIZE: "2" }), 2);
  },
);
