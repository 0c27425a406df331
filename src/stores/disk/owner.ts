import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname, uptime } from "node:os";

/** Silence after which an owner that cannot be looked at (on another machine, say) is taken for dead: one hour. */
const SILENCE = 60 * 60 * 1000;

/** `<host>-<pid>-<start>-<random>`: the name of what belongs to a process, and all there is to know of its owner. */
const NAME = /^([0-9a-f]{16})-(\d{1,10})-(\d{1,20})-[0-9a-f]{8}$/;

/** The process that something belongs to: a running store's staging folder, an upload that it holds. */
export interface Owner {
  /** 16 hex digits that only processes with the same view of process numbers share: one machine since its last start. */
  readonly host: string;
  readonly pid: number;
  /** When the process started, in the kernel's ticks; `0` where the system does not tell. */
  readonly start: string;
}

/** This process. */
export function thisProcess(): Owner {
  return { host: hostId(), pid: process.pid, start: processState(process.pid)?.start ?? "0" };
}

/** A name for something of `owner`'s, unlike any other: one process may run several stores. */
export function newName(owner: Owner): string {
  return `${owner.host}-${owner.pid}-${owner.start}-${randomBytes(4).toString("hex")}`;
}

/** The owner that something is named after, or `null` where no store has made that name. */
export function ownerOf(name: string): Owner | null {
  const [, host, pid, start] = NAME.exec(name) ?? [];
  return host === undefined || pid === undefined || start === undefined ? null : { host, pid: Number(pid), start };
}

/** Whether `owner` lives, as far as `observer` can see; `unknown` on another machine, for one. */
export function lifeOf(owner: Owner, observer: Owner): "alive" | "dead" | "unknown" {
  if (owner.host !== observer.host) return "unknown";
  if (!processExists(owner.pid)) return "dead";
  const state = processState(owner.pid);
  if (state === null || owner.start === "0") return "unknown";
  // Another start: the number was given to a new process. A zombie is dead, only its parent does not know yet.
  return state.start !== owner.start || state.ended ? "dead" : "alive";
}

/** Whether an owner that cannot be looked at has been silent for so long that it counts as dead. */
export function isSilent(lastSign: Date, now: Date): boolean {
  return now.getTime() - lastSign.getTime() > SILENCE;
}

/**
 * Whether `owner` is surely gone. Where that can be seen it is seen; else what counts is `lastSign`, the time when the
 * owner last touched its files, by the clock of this machine. In doubt it lives.
 */
export function isDead(owner: Owner, observer: Owner, lastSign: Date): boolean {
  const life = lifeOf(owner, observer);
  return life === "unknown" ? isSilent(lastSign, new Date()) : life === "dead";
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists and is somebody else's.
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

/** From `/proc/<pid>/stat` (proc_pid_stat(5)); `null` where there is no such file, as on everything but Linux. */
function processState(pid: number): { readonly start: string; readonly ended: boolean } | null {
  const stat = readText(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field is the command in brackets and may hold anything; from the third on it is plain. The start is the 22nd.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const [state] = fields;
  const start = fields[19];
  if (state === undefined || start === undefined || !/^\d+$/.test(start)) return null;
  return { start, ended: state === "Z" || state === "X" };
}

/**
 * On Linux the boot and the process namespace: process numbers mean the same to two processes exactly when both are
 * equal. Elsewhere the machine's name and, to the minute, its last start; where that is misjudged, two processes of one
 * machine take each other for strangers and wait for the hour of silence.
 */
function hostId(): string {
  const boot = readText(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const namespace = readText(() => readlinkSync("/proc/self/ns/pid"));
  const id =
    boot !== null && namespace !== null
      ? `${boot}/${namespace}`
      : `${hostname()}/${Math.round((Date.now() / 1000 - uptime()) / 60)}`;
  return createHash("sha256").update(id).digest("hex").slice(0, 16);
}

function readText(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
