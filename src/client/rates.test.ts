import assert from "node:assert/strict";
import { test } from "node:test";
import { Rates } from "./rates.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** What is advised of a file of 1 GiB with so many MiB/s. */
function adviceFor(hashing: number, sending: number, size = GIB): string {
  const rates = new Rates();
  rates.hashed(hashing * MIB, 1000);
  rates.sent(sending * MIB, 1000);
  return rates.advice({ toHash: size, toSend: size });
}

test("before anything is measured, files are sent and hashed", () => {
  assert.equal(new Rates().advice({ toHash: GIB, toSend: GIB }), "go-on");
});

test("where sending takes eight times as long as hashing, the digest is worth waiting for", () => {
  assert.equal(adviceFor(240, 30), "wait");
  assert.equal(adviceFor(240, 31), "go-on");
  assert.equal(adviceFor(240, 30, 10 * MIB), "go-on"); // a third of a second
});

test("a digest that is known when half is sent, or later, is given up", () => {
  assert.equal(adviceFor(240, 119), "go-on");
  assert.equal(adviceFor(240, 121), "give-up");
  assert.equal(adviceFor(240, 500, 200 * MIB), "go-on"); // less than a second
});

test("a hash that has only begun is not measured yet, nor are bytes that say nothing", () => {
  const rates = new Rates();
  rates.sent(100 * MIB, 1000);
  rates.isHashing(2 * MIB, 200);
  rates.hashed(1000, 100);
  assert.equal(rates.advice({ toHash: GIB, toSend: GIB }), "go-on");
  rates.isHashing(30 * MIB, 300);
  assert.equal(rates.advice({ toHash: GIB, toSend: GIB }), "give-up");
});
