import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { listen } from "../helpers/listen.ts";
import { needing } from "../helpers/requirements.ts";
import { sha256 } from "../helpers/service.ts";
import { Terminal } from "../helpers/terminal.ts";

const TOKEN = "right-token-0123456789";
const READER = "read-token-0123456789";

/** A service that requires a token, and one that requires none. */
let guarded: ClientPlace;
let open: ClientPlace;
let origin = "";
let servers = "";

before(async () => {
  guarded = await ClientPlace.start({ UPLOAD_TOKENS: `a=${TOKEN},b=${READER} may=read` });
  open = await ClientPlace.start();
  origin = guarded.server.url;
  const home = guarded.env["HOME"] ?? "";
  guarded.env = { HOME: home, XDG_STATE_HOME: join(home, "state") };
  servers = join(home, ".config/fixity/servers");
  await guarded.file("a.txt", "logged in");
});
beforeEach(() => rm(servers, { recursive: true, force: true }));
after(async () => {
  await guarded[Symbol.asyncDispose]();
  await open[Symbol.asyncDispose]();
});

/** The file of the login. */
async function savedFile(): Promise<string> {
  const [name = ""] = await readdir(servers);
  return join(servers, name);
}

async function logIn(url: string = origin, token: string = TOKEN) {
  return guarded.run(["login", url], { input: `${token}\n` });
}

test("after a login, put and get need neither address nor token; after a logout they do", async () => {
  const login = await logIn(new URL(origin).host);
  assert.deepEqual([login.code, login.out], [0, ""], login.err);
  assert.match(login.err, /^Logged in to http:\S+\/uploads\. Saved in \S+\.json\.\n$/);
  assert.equal((await stat(await savedFile())).mode & 0o777, 0o600);
  assert.equal((await stat(servers)).mode & 0o777, 0o700);
  const put = await guarded.run(["put", "--quiet", "a.txt"]);
  assert.deepEqual([put.code, put.out], [0, `${origin}/uploads/${sha256("logged in")}.txt\n`], put.err);
  assert.equal((await guarded.run(["stat", sha256("logged in")])).code, 0);
  const logout = await guarded.run(["logout"]);
  assert.deepEqual([logout.code, logout.err], [0, `Logged out of ${origin}.\n`]);
  assert.deepEqual(await readdir(servers), []);
  const refused = await guarded.run(["put", "a.txt", "--to", origin]);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /requires a token: run 'fixity login http:/);
  assert.equal((await guarded.run(["logout"])).code, 2);
});

test("a token is checked before it is saved", async () => {
  const wrong = await logIn(origin, "wrong-token-0123456789");
  assert.deepEqual([wrong.code, wrong.out], [2, ""]);
  assert.equal(wrong.err, `fixity: ${origin} did not accept the token. Nothing was saved.\n`);
  const none = await logIn(origin, "");
  assert.equal(none.err, `fixity: ${origin} requires a token: ask its operator for one.\n`);
  const odd = await logIn(origin, "two words");
  assert.match(odd.err, /A token is a single line of ASCII/);
  await using other = await listen((_, response) => void response.end("hello"));
  assert.match((await logIn(other.url)).err, /responded, but it is not a fixity service/);
  assert.match((await logIn("http://127.0.0.1:1")).err, /cannot be reached \(connection refused\)/);
  await assert.rejects(readdir(servers));
  const reader = await logIn(origin, READER);
  assert.deepEqual([reader.code, /This token may not upload\./.test(reader.err)], [0, true], reader.err);
});

test("a token is sent to no other origin than its own, and the variables win", async () => {
  const seen: (string | undefined)[] = [];
  await using spy = await listen((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  assert.equal((await logIn()).code, 0);
  await guarded.run(["put", "a.txt", "--to", spy.url]);
  await guarded.run(["get", `${spy.url}/uploads/${sha256("x")}`]);
  await guarded.run(["put", "a.txt"], { env: { FIXITY_URL: spy.url } });
  assert.deepEqual([...new Set(seen)], [undefined]);
  await guarded.run(["put", "a.txt"], { env: { FIXITY_URL: spy.url, FIXITY_TOKEN: "mine" } });
  assert.equal(seen.at(-1), "Bearer mine");
  const wrong = await guarded.run(["put", "a.txt"], { env: { FIXITY_TOKEN: "wrong" } });
  assert.match(wrong.err, /the token in FIXITY_TOKEN was not accepted/);
});

test("several servers are kept, and the latest login is the default", async () => {
  const logins = await Promise.all([logIn(), logIn(open.server.url, "")]);
  assert.deepEqual(
    logins.map(({ code }) => code),
    [0, 0],
  );
  assert.equal((await readdir(servers)).length, 2);
  assert.equal((await guarded.run(["put", "a.txt", "--to", origin])).code, 0);
  assert.equal((await guarded.run(["put", "a.txt", "--to", open.server.url])).code, 0);
  assert.equal((await logIn(open.server.url, "")).code, 0);
  const { out } = await guarded.run(["put", "--quiet", "a.txt"]);
  assert.ok(out.startsWith(open.server.url), out);
  assert.equal((await guarded.run(["logout"])).err, `Logged out of ${open.server.url}.\n`);
});

test("concurrent logins to one server leave one complete file", async () => {
  await Promise.all(Array.from({ length: 4 }, () => logIn()));
  const file = await savedFile();
  assert.equal((JSON.parse(await readFile(file, "utf8")) as { token: string }).token, TOKEN);
  assert.equal((await readdir(servers)).length, 1);
});

test("a file that is open to others, a link, damaged or of another server is not used", async () => {
  const change: Readonly<Record<string, (file: string) => Promise<void>>> = {
    "is open to other users \\(mode 640\\)": (file) => chmod(file, 0o640),
    "is a symbolic link": async (file) => {
      await rename(file, `${file}.real`);
      await symlink(`${file}.real`, file);
    },
    "is damaged": (file) => writeFile(file, '{"endpoint":'),
    "is of another server": async (file) => {
      const text = await readFile(file, "utf8");
      await writeFile(file, text.replace("127.0.0.1", "evil.example"));
    },
  };
  for (const [problem, apply] of Object.entries(change)) {
    await rm(servers, { recursive: true, force: true });
    assert.equal((await logIn()).code, 0);
    await apply(await savedFile());
    for (const args of [
      ["put", "a.txt"],
      ["put", "a.txt", "--to", origin],
    ]) {
      const { code, out, err } = await guarded.run(args);
      assert.deepEqual([code, out], [2, ""], problem);
      assert.match(err, new RegExp(`^fixity: \\S+\\.json ${problem}: remove it, and log in again`));
      assert.ok(!err.includes(TOKEN));
    }
    const env = { FIXITY_URL: origin, FIXITY_TOKEN: TOKEN };
    assert.equal((await guarded.run(["put", "a.txt"], { env })).code, 0, "variables do not need the file");
  }
});

test("a file or folder of another user is not used", needing("root"), async () => {
  assert.equal((await logIn()).code, 0);
  await chown(await savedFile(), 65534, 65534);
  assert.match((await guarded.run(["put", "a.txt"])).err, /\.json belongs to another user/);
  await rm(servers, { recursive: true });
  await mkdir(servers);
  await chown(servers, 65534, 65534);
  assert.match((await logIn()).err, /servers belongs to another user/);
});

test("on a terminal the token is asked for without an echo", needing("script"), async () => {
  await using terminal = new Terminal(["login", origin], { env: guarded.env });
  await terminal.shows(/Access token for http:\S+ \(empty if it needs none\): /);
  terminal.press(`${TOKEN}x\u007f\r`);
  assert.equal(await terminal.ended, 0, terminal.text);
  assert.match(terminal.text, /Logged in to/);
  assert.ok(!terminal.text.includes(TOKEN));
  await using stopped = new Terminal(["login", origin], { env: guarded.env });
  await stopped.shows(/needs none/);
  stopped.press("\u0003");
  assert.equal(await stopped.ended, 130);
});
