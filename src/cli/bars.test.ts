import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { barsOf, type Transfer } from "./bars.ts";
import { columnsOf } from "./columns.ts";

const MIB = 1024 * 1024;
const half: Transfer = { name: "film.mp4", bytes: 300 * MIB, total: 600 * MIB, rate: 20 * MIB, doing: null };

function drawn(transfer: Transfer, columns: number): string {
  return stripVTControlCharacters(barsOf([transfer], { columns, isUnicode: false }).join("\n"));
}

test("a wide terminal is told everything", () => {
  const bar = "#".repeat(15) + ".".repeat(15);
  const facts = " 50%        300 MiB of 600 MiB      20 MiB/s    15 s left";
  assert.equal(drawn(half, 119), `film.mp4      ${bar}  ${facts}`);
});

test("the narrower it is, the less is told, and a line never breaks", () => {
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

test("lines of one drawing stand in columns, and long names give way to bars", () => {
  const transfers = [half, { ...half, name: `${"long ".repeat(20)}.mp4`, bytes: 0 }, { ...half, name: "1 of 3 files" }];
  const lines = barsOf(transfers, { columns: 99, isUnicode: true }).map((line) => stripVTControlCharacters(line));
  assert.deepEqual(new Set(lines.map((line) => columnsOf(line))), new Set([99]));
  assert.deepEqual(new Set(lines.map((line) => columnsOf(line.slice(0, line.search(/[█░]/))))).size, 1);
});

test("what is not known is not shown, and what else is done is", () => {
  assert.match(drawn({ ...half, total: null }, 100), /^film\.mp4 +\.+ +300 MiB +20 MiB\/s +$/);
  assert.match(drawn({ ...half, bytes: 600 * MIB, doing: "storing" }, 100), /100% .* storing$/);
  assert.match(drawn({ ...half, bytes: 0, total: 0, rate: 0 }, 100), /^film\.mp4 +#+ +0 bytes of 0 bytes/);
});
