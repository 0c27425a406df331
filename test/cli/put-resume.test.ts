import assert from "node:assert/strict";
import { appendFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { jsonLines } from "../helpers/command.ts";
import { Gate } from "../helpers/gate.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { Terminal } from "../helpers/terminal.ts";

const MIB = 1024 * 1024;
const SIZE = 48 * MIB;
const random = new Random(7);

/** A service behind a gate that closes in the middle of a large file, which nobody has seen before. */
async function gated() {
  const place = await ClientPlace.start();
  const gate = await Gate.start(place.server.port, { up: 20 * MIB });
  place.env["FIXITY_URL"] = `http://127.0.0.1:${gate.port}/uploads`;
  const content = random.bytes(SIZE);
  await place.file("large.bin", content);
  return {
    place,
    gate,
    link: `${place.url(sha256(content), ".bin")}\n`,
    remembered: async () => readdir(join(place.env["XDG_STATE_HOME"] ?? "", "fixity/uploads")),
    [Symbol.asyncDispose]: async () => {
      await gate[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

test("stopped in the middle, and run again: it goes on where it was", async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  await using first = place.begin(["put", "large.bin"]);
  await gate.shut;
  first.signal("SIGINT");
  const stopped = await first.ended;
  assert.deepEqual([stopped.code, stopped.out], [130, ""], stopped.err);
  assert.match(stopped.err, /^0 files stored, 1 not sent: the same command again goes on with them; 0 bytes sent$/m);
  assert.equal((await there.remembered()).length, 1);
  gate.open();
  const { code, out } = await place.run(["put", "--json", "large.bin"]);
  const [told] = jsonLines(out);
  assert.deepEqual([code, told?.["status"], `${String(told?.["url"])}\n`], [0, "stored", link]);
  assert.ok(Number(told?.["sent"]) < SIZE - 8 * MIB, `${String(told?.["sent"])} bytes were sent again`);
  assert.deepEqual(await there.remembered(), []);
  assert.equal((await place.run(["put", "large.bin"])).out, link);
});

test("killed in the middle, and run again: it goes on where it was", async () => {
  await using there = await gated();
  const { place, gate } = there;
  await using first = place.begin(["put", "large.bin"]);
  await gate.shut;
  first.signal("SIGKILL");
  await first.ended;
  gate.open();
  const { code, out } = await place.run(["put", "--json", "large.bin"]);
  const [told] = jsonLines(out);
  assert.deepEqual([code, told?.["status"]], [0, "stored"]);
  assert.ok(Number(told?.["sent"]) < SIZE - 8 * MIB);
  assert.deepEqual(await there.remembered(), []);
});

test("Ctrl-C on a terminal, and the same command again", needing("script"), async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  const path = join(place.folder, "large.bin");
  {
    await using terminal = new Terminal(["put", path], { env: place.env });
    await gate.shut;
    await terminal.shows(/large\.bin .*%/);
    terminal.press("\u0003");
    assert.equal(await terminal.ended, 130);
    assert.match(terminal.text, /the same command again goes on with them/);
  }
  gate.open();
  await using terminal = new Terminal(["put", path], { env: place.env });
  assert.equal(await terminal.ended, 0);
  assert.ok(terminal.text.includes(link));
});

test("the server is killed in the middle, and another one started: it goes on by itself", async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  await using command = place.begin(["put", "large.bin"]);
  await gate.shut;
  await place.server.stop("SIGKILL");
  gate.cut();
  gate.open();
  place.server = await ServerProcess.start({ dir: place.store.path });
  gate.target = place.server.port;
  const { code, out, err } = await command.ended;
  assert.deepEqual([code, out], [0, link], err);
});

test("two at once send the same file, and neither takes the other's turn", async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  await using first = place.begin(["put", "large.bin"]);
  await gate.shut;
  await using second = place.begin(["put", "large.bin"]);
  gate.open();
  for (const { code, out, err } of await Promise.all([first.ended, second.ended])) {
    assert.deepEqual([code, out], [0, link], err);
  }
  assert.deepEqual(await there.remembered(), []);
});

test("a file that changes while it is sent is an error", async () => {
  await using there = await gated();
  const { place, gate } = there;
  await using command = place.begin(["put", "large.bin"]);
  await gate.shut;
  await appendFile(join(place.folder, "large.bin"), "more");
  gate.open();
  const { code, out, err } = await command.ended;
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^fixity: large\.bin: it changed while it was sent: send it again when nothing writes to it$/m);
});

test("the second Ctrl-C ends it at once", async () => {
  await using there = await gated();
  const { place, gate } = there;
  await using command = place.begin(["put", "large.bin"]);
  await gate.shut;
  command.signal("SIGINT");
  command.signal("SIGINT");
  assert.equal((await command.ended).code, 130);
});

test("where nothing can be remembered, files are sent all the same", async () => {
  await using place = await ClientPlace.start();
  const notAFolder = await place.file("state", "");
  const content = random.bytes(12 * MIB);
  await place.file("a.bin", content);
  const { code, out } = await place.run(["put", "a.bin"], { env: { XDG_STATE_HOME: notAFolder } });
  assert.deepEqual([code, out], [0, `${place.url(sha256(content), ".bin")}\n`]);
  assert.equal((await stat(notAFolder)).size, 0);
});
