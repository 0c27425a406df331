import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { formatBars, RateMeter, type Transfer } from "./progress.ts";
import { columnsOf } from "./text.ts";

const MIB = 1024 * 1024;
const half: Transfer = { name: "film.mp4", bytes: 300 * MIB, total: 600 * MIB, rate: 20 * MIB, phase: null };

function drawn(transfer: Transfer, columns: number): string {
  return stripVTControlCharacters(formatBars([transfer], { columns, isUnicode: false }).join("\n"));
}

test("a wide terminal shows all facts", () => {
  const bar = "#".repeat(15) + ".".repeat(15);
  const facts = " 50%        300 MiB of 600 MiB      20 MiB/s    15 s left";
  assert.equal(drawn(half, 119), `film.mp4      ${bar}  ${facts}`);
});

test("a narrower terminal shows fewer facts, and no line is wider than it", () => {
  for (const transfer of [half, { ...half, name: "写真".repeat(60) }, { ...half, total: null, rate: null }]) {
    for (let columns = 1; columns < 200; columns++) {
      const line = drawn(transfer, columns);
      assert.ok(columnsOf(line) <= columns, `${columns}: ${line}`);
    }
  }
  assert.match(drawn(half, 79), /^film\.mp4 .*50% .*20 MiB\/s .*15 s left$/);
  assert.match(drawn(half, 40), /^film\.mp4 .*50% .*20 MiB\/s$/);
  assert.match(drawn(half, 20), /^film\.mp4 .*50%$/);
});

test("the lines of one drawing are aligned, and long names are shortened for bars", () => {
  const transfers = [half, { ...half, name: `${"long ".repeat(20)}.mp4`, bytes: 0 }, { ...half, name: "1 of 3 files" }];
  const lines = formatBars(transfers, { columns: 99, isUnicode: true }).map((line) => stripVTControlCharacters(line));
  assert.deepEqual(new Set(lines.map((line) => columnsOf(line))), new Set([99]));
  assert.deepEqual(new Set(lines.map((line) => columnsOf(line.slice(0, line.search(/[█░]/))))).size, 1);
});

test("unknown facts are left out, and another phase is named", () => {
  assert.match(drawn({ ...half, total: null }, 100), /^film\.mp4 +\.+ +300 MiB +20 MiB\/s +$/);
  assert.match(drawn({ ...half, bytes: 600 * MIB, phase: "storing" }, 100), /100% .* storing$/);
  assert.match(drawn({ ...half, bytes: 0, total: 0, rate: 0 }, 100), /^film\.mp4 +#+ +0 bytes of 0 bytes/);
});

test("what a transfer waits for takes the place of its rate, and one word that of a long text", () => {
  const waiting = { ...half, rate: null, phase: "waiting: server unreachable, next attempt in 8 s" };
  assert.match(drawn(waiting, 99), /^film\.mp4 .* 50% .* waiting: server unreachable, next attempt in 8 s$/);
  assert.match(drawn(waiting, 79), /^film\.mp4 .* 50% .* waiting: server unreachable, next attempt in 8 s$/);
  assert.match(drawn(waiting, 50), /^film\.mp4 .* 50% .* waiting$/);
  for (let columns = 1; columns < 200; columns++) assert.ok(columnsOf(drawn(waiting, columns)) <= columns);
});

test("a rate covers the last seconds, and is unknown during the first half second", () => {
  const meter = new RateMeter();
  assert.equal(meter.sample(0, 0), null);
  assert.equal(meter.sample(100, 400), null);
  assert.equal(meter.sample(1000, 1000), 1000);
  for (let second = 2; second <= 20; second++) meter.sample(1000 + (second - 1) * 5000, second * 1000);
  assert.equal(meter.sample(1000 + 20 * 5000, 21_000), 5000);
});

test("the rate of a stalled transfer falls to zero, and that of a restarted one is not negative", () => {
  const meter = new RateMeter();
  meter.sample(5000, 0);
  for (let time = 1000; time <= 10_000; time += 1000) meter.sample(5000, time);
  assert.equal(meter.sample(5000, 11_000), 0);
  assert.equal(meter.sample(0, 12_000), 0);
});
