import assert from "node:assert/strict";
import { test } from "node:test";
import { TransferRates } from "./upload-digest.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** The advice about a file at rates in MiB/s. */
function adviceFor(hashing: number, sending: number, size = GIB): string {
  const rates = new TransferRates();
  rates.hashed(hashing * MIB, 1000);
  rates.sent(sending * MIB, 1000);
  return rates.advice({ toHash: size, toSend: size });
}

test("before anything is measured, files are sent while they are hashed", () => {
  assert.equal(new TransferRates().advice({ toHash: GIB, toSend: GIB }), "proceed");
});

test("a digest is worth waiting for if sending takes eight times as long as hashing", () => {
  assert.equal(adviceFor(240, 30), "wait");
  assert.equal(adviceFor(240, 31), "proceed");
  assert.equal(adviceFor(240, 30, 10 * MIB), "proceed"); // a third of a second
});

test("a digest that would be known when half is sent, or later, is given up", () => {
  assert.equal(adviceFor(240, 119), "proceed");
  assert.equal(adviceFor(240, 121), "give-up");
  assert.equal(adviceFor(240, 500, 200 * MIB), "proceed"); // less than a second
});

test("a hash that has only begun is not measured yet, nor are too few bytes", () => {
  const rates = new TransferRates();
  rates.sent(100 * MIB, 1000);
  rates.hashedSoFar(2 * MIB, 200);
  rates.hashed(1000, 100);
  assert.equal(rates.advice({ toHash: GIB, toSend: GIB }), "proceed");
  rates.hashedSoFar(30 * MIB, 300);
  assert.equal(rates.advice({ toHash: GIB, toSend: GIB }), "give-up");
});
