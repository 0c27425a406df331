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

/** The lines that a terminal shows in the end, if only the last lines are ever redrawn. */
function linesLeft(raw: string): readonly string[] {
  const lines: string[] = [""];
  let row = 0;
  let column = 0;
  for (const [token] of raw.matchAll(/\u001b\[(\d*)([A-Za-z])|[^\u001b]/g)) {
    const [, count = "", command] = /\u001b\[(\d*)([A-Za-z])/.exec(token) ?? [];
    if (command === "A") row -= Number(count || 1);
    else if (command === "K" || command === "J") {
      lines[row] = (lines[row] ?? "").slice(0, column);
      if (command === "J") lines.length = row + 1;
    } else if (token === "\n") row += 1;
    else if (token === "\r") column = 0;
    else if (command === undefined) {
      const line = (lines[row] ?? "").padEnd(column);
      lines[row] = line.slice(0, column) + token + line.slice(column + 1);
      column += 1;
    }
  }
  return lines;
}

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

test("an interrupted upload is resumed by the next run", async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  await using first = place.begin(["put", "large.bin"]);
  await gate.shut;
  first.signal("SIGINT");
  const stopped = await first.ended;
  assert.deepEqual([stopped.code, stopped.out], [130, ""], stopped.err);
  assert.match(stopped.err, /^large\.bin: [1-9]\d?% sent; run the same command again within 24 h to resume$/m);
  assert.match(stopped.err, /^Stored 0, not sent 1; [\d.]+ MiB sent\. Run the same command again to continue\.$/m);
  assert.equal((await there.remembered()).length, 1);
  gate.open();
  const { code, out } = await place.run(["put", "--json", "large.bin"]);
  const [told] = jsonLines(out);
  assert.deepEqual([code, told?.["status"], `${String(told?.["url"])}\n`], [0, "stored", link]);
  assert.ok(Number(told?.["sent"]) < SIZE - 8 * MIB, `${String(told?.["sent"])} bytes were sent again`);
  assert.deepEqual(await there.remembered(), []);
  assert.equal((await place.run(["put", "large.bin"])).out, link);
});

test("a killed upload is resumed by the next run", async () => {
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

test("an upload interrupted by Ctrl-C on a terminal is resumed by the next run", needing("script"), async () => {
  await using there = await gated();
  const { place, gate, link } = there;
  const path = join(place.folder, "large.bin");
  {
    await using terminal = new Terminal(["put", path], { env: place.env });
    await gate.shut;
    await terminal.shows(/large\.bin .*%/);
    terminal.press("\u0003");
    assert.equal(await terminal.ended, 130);
    assert.match(terminal.text, /large\.bin: [1-9]\d?% sent; run the same command again within 24 h to resume\n/);
    assert.deepEqual(
      linesLeft(terminal.raw).filter((line) => /█|\^|^C$/.test(line)),
      [],
    );
  }
  gate.open();
  await using terminal = new Terminal(["put", path], { env: place.env });
  assert.equal(await terminal.ended, 0);
  assert.ok(terminal.text.includes(link));
});

test("an upload survives the kill and restart of the server", async () => {
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

test("two processes upload the same file without taking each other over", async () => {
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

test("a file that changes during its upload is an error", async () => {
  await using there = await gated();
  const { place, gate } = there;
  await using command = place.begin(["put", "large.bin"]);
  await gate.shut;
  await appendFile(join(place.folder, "large.bin"), "more");
  gate.open();
  const { code, out, err } = await command.ended;
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^fixity: large\.bin: it changed during the upload: upload it again when nothing writes to it$/m);
});

test("the second Ctrl-C exits at once", async () => {
  await using there = await gated();
  const { place, gate } = there;
  await using command = place.begin(["put", "large.bin"]);
  await gate.shut;
  command.signal("SIGINT");
  command.signal("SIGINT");
  assert.equal((await command.ended).code, 130);
});

test("without a writable state folder, files are uploaded all the same", async () => {
  await using place = await ClientPlace.start();
  const notAFolder = await place.file("state", "");
  const content = random.bytes(12 * MIB);
  await place.file("a.bin", content);
  const { code, out } = await place.run(["put", "a.bin"], { env: { XDG_STATE_HOME: notAFolder } });
  assert.deepEqual([code, out], [0, `${place.url(sha256(content), ".bin")}\n`]);
  assert.equal((await stat(notAFolder)).size, 0);
});
