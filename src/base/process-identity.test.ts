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

test("a name identifies its owner, and no two names are equal", () => {
  const [one, other] = [newName(me), newName(me)];
  assert.notEqual(one, other);
  assert.deepEqual(ownerOf(one), me);
  assert.deepEqual(ownerOf(other), me);
});

test("a name of any other form has no owner", () => {
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

test("this process is alive, however old its last sign of life", { skip: !seesProcesses && "needs /proc" }, () => {
  assert.equal(isDead(me, me, NOW), false);
  assert.equal(isDead(me, me, LONG_AGO), false);
});

test("a process is alive until it is killed, and dead right after", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  const owner = ownerWith(child.pid ?? 0);
  assert.equal(isDead(owner, me, NOW), false);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isDead(owner, me, NOW), true);
});

test(
  "a process id that was reused does not identify the old process",
  { skip: !seesProcesses && "needs /proc" },
  () => {
    assert.equal(isDead({ ...me, start: String(Number(me.start) + 1) }, me, NOW), true);
  },
);

test("a zombie is dead", { skip: !seesProcesses && "needs /proc" }, async () => {
  // The shell starts a child, prints its pid, and becomes a program that never waits for it.
  const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    const owner = ownerWith(pid);
    // As long as the shell itself runs, it waits for its child.
    while (readFileSync(`/proc/${parent.pid}/comm`, "utf8") !== "sleep\n") await new Promise(setImmediate);
    process.kill(pid);
    while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")) await new Promise(setImmediate);
    assert.equal(isDead(owner, me, NOW), true);
  } finally {
    parent.kill("SIGKILL");
    await once(parent, "exit");
  }
});

describe("a process that cannot be observed is judged by its last sign of life:", () => {
  test("on another machine", () => {
    const owner = { ...me, host: "0".repeat(16) };
    assert.equal(isDead(owner, me, NOW), false);
    assert.equal(isDead(owner, me, LONG_AGO), true);
  });

  test("if its start time is unknown", () => {
    const owner = { ...me, start: "0" };
    assert.equal(isDead(owner, me, NOW), false);
    assert.equal(isDead(owner, me, LONG_AGO), true);
  });

  test("a sign of life in the future counts as recent", () => {
    assert.equal(isDead({ ...me, host: "0".repeat(16) }, me, new Date(Date.now() + 1e9)), false);
  });
});
