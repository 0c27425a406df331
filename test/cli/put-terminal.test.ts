import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { columnsOf } from "../../src/cli/text.ts";
import { ClientPlace } from "../helpers/client-place.ts";
import { Gate } from "../helpers/gate.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { sha256 } from "../helpers/service.ts";
import { Terminal } from "../helpers/terminal.ts";

const MIB = 1024 * 1024;
const random = new Random(11);
let place: ClientPlace;

before(async () => {
  place = await ClientPlace.start();
});

after(async () => place[Symbol.asyncDispose]());

/** Sends two new files, one of them large, and stays in the middle of it until the bars are shown. */
async function watch(options: { readonly env?: Readonly<Record<string, string>>; readonly columns?: number }) {
  await using gate = await Gate.start(place.server.port, { up: 12 * MIB });
  const [large, small] = [random.bytes(40 * MIB), random.bytes(10)];
  const paths = [await place.file("写真 large.bin", large), await place.file("small.txt", small)];
  const url = `http://127.0.0.1:${gate.port}/uploads`;
  const env = { ...place.env, FIXITY_URL: url, ...options.env };
  await using terminal = new Terminal(["put", ...paths], { ...options, env });
  await gate.shut;
  if (options.env?.["TERM"] !== "dumb") await terminal.shows(/ of 2 files .* [1-9]\d?%/);
  gate.open();
  assert.equal(await terminal.ended, 0, terminal.text);
  const links = [`${url}/${sha256(large)}.bin`, `${url}/${sha256(small)}.txt`];
  return { raw: terminal.raw, text: terminal.text, links, names: paths };
}

const withScript = needing("script");

test("a terminal shows one bar per file and one for all files, and then the links", withScript, async () => {
  const { raw, text, links } = await watch({ columns: 100 });
  assert.match(raw, /large\.bin[^\n]*█+░+[^\n]*%/);
  assert.match(raw, /\u001b\[\d+A/, "several lines are drawn anew");
  assert.match(text, /Stored 2; 40 MiB sent/);
  for (const link of links) assert.ok(text.includes(`${link}\n`), link);
  // what is left on the terminal after the last bar was taken away
  const rest = raw.slice(raw.lastIndexOf("\u001b[J") + 3);
  assert.doesNotMatch(rest, /%|█/);
});

test("no line is wider than a narrow terminal", withScript, async () => {
  const columns = 38;
  const { raw, links, names } = await watch({ columns });
  const drawn = raw.split(/\r|\n/).filter((line) => /%/.test(line));
  assert.ok(drawn.length > 0);
  for (const line of drawn) {
    // eslint-disable-next-line no-control-regex
    const plain = line.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, "");
    assert.ok(columnsOf(plain) < columns, plain);
  }
  assert.equal(links.length, names.length);
});

test("NO_COLOR removes the colors and keeps the bars", withScript, async () => {
  const { raw } = await watch({ env: { NO_COLOR: "1" }, columns: 100 });
  assert.match(raw, /█/);
  assert.doesNotMatch(raw, /\u001b\[[0-9;]*m/);
});

test("ASCII terminals get ASCII bars, and terminals that cannot move their cursor none", withScript, async () => {
  const ascii = await watch({ env: { LANG: "C", NO_COLOR: "1" }, columns: 100 });
  assert.match(ascii.raw, /#+\.+ +\d+%/);
  assert.doesNotMatch(ascii.raw, /█/);
  const dumb = await watch({ env: { TERM: "dumb" } });
  assert.doesNotMatch(dumb.raw, /\u001b|%/);
  assert.match(dumb.text, /Stored 2/);
});

test("a terminal shows failures and links as they come, and counts all named files", withScript, async () => {
  await using gate = await Gate.start(place.server.port, { up: 12 * MIB });
  const [large, small] = [random.bytes(40 * MIB), random.bytes(10)];
  const paths = [await place.file("slow.bin", large), await place.file("quick.txt", small), "/nowhere/nosuch"];
  const url = `http://127.0.0.1:${gate.port}/uploads`;
  await using terminal = new Terminal(["put", ...paths], { env: { ...place.env, FIXITY_URL: url }, columns: 100 });
  await gate.shut;
  await terminal.shows(/1 of 3 files, 1 failed/);
  assert.match(terminal.text, /fixity: \/nowhere\/nosuch: no such file\n/);
  assert.match(terminal.text, /quick\.txt: stored/);
  assert.ok(terminal.text.includes(`${url}/${sha256(small)}.txt\n`));
  assert.ok(!terminal.text.includes(sha256(large)));
  gate.open();
  assert.equal(await terminal.ended, 1);
  assert.match(terminal.text, /Stored 2, failed 1; 40 MiB sent\.\n/);
});

test("a pipe gets links in the order of the arguments, whatever finishes first", async () => {
  await using gate = await Gate.start(place.server.port, { up: 12 * MIB });
  const [large, small] = [random.bytes(40 * MIB), random.bytes(10)];
  const paths = [await place.file("slow.bin", large), await place.file("quick.txt", small)];
  const env = { FIXITY_URL: `http://127.0.0.1:${gate.port}/uploads` };
  await using command = place.begin(["put", ...paths], { env });
  await gate.shut;
  gate.open();
  const { code, out } = await command.ended;
  assert.equal(code, 0);
  assert.deepEqual(
    Array.from(out.matchAll(/[0-9a-f]{64}/g), ([hex]) => hex),
    [sha256(large), sha256(small)],
  );
});

test("a terminal shows what an upload waits for while the server is away", withScript, async () => {
  await using gate = await Gate.start(place.server.port, { up: 12 * MIB });
  const path = await place.file("outage.bin", random.bytes(40 * MIB));
  const { port } = gate;
  const env = { ...place.env, FIXITY_URL: `http://127.0.0.1:${port}/uploads` };
  await using terminal = new Terminal(["put", path], { env, columns: 100 });
  await gate.shut;
  await terminal.shows(/outage\.bin .*%/);
  await gate[Symbol.asyncDispose]();
  await terminal.shows(/outage\.bin .* waiting: server unreachable, next attempt in \d+ s/);
  terminal.press("\u0003");
  assert.equal(await terminal.ended, 130);
});

test("a pipe shows no bars", async () => {
  await place.file("a.bin", random.bytes(30 * MIB));
  const { code, err } = await place.run(["put", join(place.folder, "a.bin")]);
  assert.equal(code, 0);
  assert.doesNotMatch(err, /%|█|\u001b/);
});
