import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { isDead, newName, type Owner, ownerOf, thisProcess } from "./process-identity.ts";

const NOW = new Date();
const LONG_AGO = new Date(Date.now() - 61 * 60 * 1000);
const me = thisProcess();

const seesProcesses = process.platform === "linux";

/** Another process on this machine, as it would name itself. */
function ownerWith(pid: number): Owner {
  const stat = seesProcesses ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
  return { ...me, pid, start: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0" };
}

test("a name says whose it is, and no two are the same", () => {
  const [one, other] = [newName(me), newName(me)];
  assert.notEqual(one, other);
  assert.deepEqual(ownerOf(one), me);
  assert.deepEqual(ownerOf(other), me);
});

test("a name that no store has made has no owner", () => {
  const name = newName(me);
  for (const other of [
    "",
    "lost+found",
    `${name}0`,
    ` ${name}`,
    name.replace("-", "_"),
    `${name}\n`,
    "..",
    "1-2-3-4",
  ]) {
    assert.equal(ownerOf(other), null, other);
  }
});

test("this process lives, however long it gave no sign", { skip: !seesProcesses && "needs /proc" }, () => {
  assert.equal(isDead(me, me, NOW), false);
  assert.equal(isDead(me, me, LONG_AGO), false);
});

test("a process lives until it is killed, then it is dead at once", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  const owner = ownerWith(child.pid ?? 0);
  assert.equal(isDead(owner, me, NOW), false);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isDead(owner, me, NOW), true);
});

test(
  "a number that was given to a new process is not taken for the old one",
  { skip: !seesProcesses && "needs /proc" },
  () => {
    assert.equal(isDead({ ...me, start: String(Number(me.start) + 1) }, me, NOW), true);
  },
);

test("a process whose parent has not noticed its end is dead", { skip: !seesProcesses && "needs /proc" }, async () => {
  // The shell starts a child, says its number, and becomes a program that never asks after it.
  const parent = spawn("sh", ["-c", "sleep 0.01 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    const owner = ownerWith(pid);
    while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")) await new Promise(setImmediate);
    assert.equal(isDead(owner, me, NOW), true);
  } finally {
    parent.kill("SIGKILL");
    await once(parent, "exit");
  }
});

describe("where a process cannot be looked at, its signs count:", () => {
  test("on another machine", () => {
    const owner = { ...me, host: "0".repeat(16) };
    assert.equal(isDead(owner, me, NOW), false);
    assert.equal(isDead(owner, me, LONG_AGO), true);
  });

  test("where its start is not known", () => {
    const owner = { ...me, start: "0" };
    assert.equal(isDead(owner, me, NOW), false);
    assert.equal(isDead(owner, me, LONG_AGO), true);
  });

  test("a clock that runs ahead does not make it dead", () => {
    assert.equal(isDead({ ...me, host: "0".repeat(16) }, me, new Date(Date.now() + 1e9)), false);
  });
});
