import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CHILD_ENV } from "../helpers/child-env.ts";
import { type Ended, runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

const NOBODY = "65534";
const asRoot = needing("root");

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
  assert.deepEqual([code, out], [2, ""], err);
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
  const env = { ...CHILD_ENV, PORT: "0", UPLOAD_DIR: join(folder, "out") };
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

test("a port that this user may not listen on is refused with the user's name", asRoot, async () => {
  const script = `echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start && exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups "$@"`;
  const under = ["unshare", "--net", "sh", "-c", `ip link set lo up; ${script}`, "sh"];
  const dir = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await chown(dir, Number(NOBODY), Number(NOBODY));
  const ended = await runCommand(["serve"], { env: { PORT: "80", UPLOAD_DIR: dir }, cwd: "/", under });
  await rm(dir, { recursive: true, force: true });
  assert.equal(ended.code, 2);
  assert.equal(
    ended.err,
    "fixity: User nobody may not listen on port 80 (EACCES). Choose one above 1023 with --port or PORT.\n",
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

test("a folder that cannot be written to is refused with its setting, the system's error and a remedy", async () => {
  const file = join(folder, "a-file");
  await writeFile(file, "");
  for (const dir of [file, join(file, "below")]) {
    await assertRefused(
      { UPLOAD_DIR: dir },
      new RegExp(
        `Cannot write to UPLOAD_DIR=${dir} \\(\\w+: .*'\\)\\. ${file} is a file: remove it, or set UPLOAD_DIR`,
      ),
    );
  }
  const tooLong = join(folder, "x".repeat(300));
  await assertRefused({ UPLOAD_DIR: tooLong }, /Cannot .*UPLOAD_DIR=.*x \(ENAMETOOLONG: .*Set UPLOAD_DIR or --dir/);
});

test("a folder of a virtual file system is refused", needing("/proc"), async () => {
  await assertRefused(
    { UPLOAD_DIR: "/proc/foo" },
    /UPLOAD_DIR=\/proc\/foo \(ENOENT: .*, mkdir '\/proc\/foo'\)\. Nothing can be created there: set UPLOAD_DIR/,
  );
});

test("a missing permission is refused with the name of the user and the command that gives it", asRoot, async () => {
  const under = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
  const place = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    await chmod(place, 0o755);
    const [closed, foreign, own] = ["closed", "foreign", "own"].map((name) => join(place, name)) as [
      string,
      string,
      string,
    ];
    for (const [path, mode] of [
      [closed, 0o700],
      [foreign, 0o755],
      [own, 0o755],
    ] as const)
      await mkdir(path, { mode });
    await chown(own, Number(NOBODY), Number(NOBODY));
    const cases: readonly (readonly [env: Readonly<Record<string, string>>, line: string])[] = [
      [{ UPLOAD_DIR: join(closed, "x") }, `User nobody may not enter ${closed}: change its permissions, or`],
      [{ UPLOAD_DIR: foreign }, `or run: sudo chown -R nobody ${foreign}\n`],
      [{ UPLOAD_DIR: join(foreign, "a b") }, `or run: sudo install -d -o nobody '${foreign}/a b'\n`],
      [{ UPLOAD_DIR: own, UPLOAD_DIR_GROUP: "0" }, `Cannot give UPLOAD_DIR=${own} to UPLOAD_DIR_GROUP=0 (EPERM: `],
    ];
    for (const [env, line] of cases) {
      const ended = await runCommand(["serve"], { env: { PORT: "0", ...env }, cwd: "/", under });
      assert.equal(ended.code, 2);
      assert.ok(ended.err.includes(`UPLOAD_DIR=${String(env["UPLOAD_DIR"])} `), ended.err);
      assert.match(ended.err, /^fixity: Cannot .* \((?:EACCES|EPERM): [^()]*\)\. [^\n]*\n$/);
      assert.ok(ended.err.includes(line), ended.err);
    }
  } finally {
    await rm(place, { recursive: true, force: true });
  }
});

test("a read-only folder is refused", needing("a mounted tmpfs"), async () => {
  const script = `mount -t tmpfs -o ro,size=64k tmpfs "$0" && exec "$@"`;
  const mount = await mkdtemp(join(folder, "ro-"));
  const under = ["unshare", "--mount", "sh", "-c", script, mount];
  const ended = await runCommand(["serve"], { env: { PORT: "0", UPLOAD_DIR: mount }, under });
  assert.equal(ended.code, 2);
  assert.match(ended.err, /^fixity: Cannot write to UPLOAD_DIR=\S* \(EROFS: .*\)\. Mount the file system for writing/);
});

test("a file of tokens or keys that cannot be read is refused with the system's error", async () => {
  for (const setting of ["UPLOAD_TOKENS_FILE", "UPLOAD_PERMIT_KEYS_FILE", "UPLOAD_LINK_KEYS_FILE"]) {
    const missing = join(folder, "no-such-file");
    await assertRefused(
      { [setting]: missing },
      new RegExp(`Cannot read ${setting}=${missing} \\(ENOENT: no such file`),
    );
    await assertRefused({ [setting]: folder }, new RegExp(`Cannot read ${setting}=${folder} \\(EISDIR: `));
  }
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
  await assertRefused(
    { ...bucket, UPLOAD_BUCKET_NAME: "uploads" },
    /UPLOAD_BUCKET_NAME=uploads: Nothing listens at 127\.0\.0\.1:1\. Check UPLOAD_BUCKET_ENDPOINT, or try again later\.$/m,
  );
});

test("a prefix that is one of the server's own paths is refused", async () => {
  for (const UPLOAD_PREFIX of ["/healthz", "/readyz", "/page", "/page/uploads"]) {
    await assertRefused(
      { UPLOAD_PREFIX },
      /UPLOAD_PREFIX must be another path: \/(healthz|readyz|page|page\/uploads) is the server's own/,
    );
  }
});

test("a current folder that no longer exists is refused", async () => {
  const gone = await mkdtemp(join(folder, "gone-"));
  const under = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"];
  const ended = await runCommand(["serve"], { env: { PORT: "0" }, cwd: gone, under });
  const line =
    "fixity: The current folder is gone. Start from another, or name the store's folder by its whole path.\n";
  assert.deepEqual([ended.code, ended.err], [2, line]);
});

test("wrong settings and flags are refused by name", async () => {
  const { code, err } = await run(["serve", "--max-size", "lots"], { UPLOAD_DIRR: "x", PORT: "0" });
  assert.equal(code, 2);
  assert.match(err, /^fixity: Unknown setting UPLOAD_DIRR\. Did you mean UPLOAD_DIR\?$/m);
  assert.match(err, /^fixity: --max-size must be a size/m);
  const unknown = await run(["serve", "--dirr", "x"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /unknown option '--dirr'/);
});

test("the help lists every setting with its variable and default, and no flag for a secret", async () => {
  const { out } = await run(["serve", "--help"]);
  const text = out.replace(/\s+/g, " ");
  assert.match(text, /--max-size <size> maximum size of a file \(UPLOAD_MAX_SIZE, default 5GiB\)/);
  assert.match(text, /Only from the environment: UPLOAD_TOKENS/);
  assert.doesNotMatch(text, /--tokens |--bucket-secret-key /);
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
