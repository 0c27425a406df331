import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname, uptime } from "node:os";

/**
 * An owner that cannot be observed (because it runs on another machine, say) counts as dead after
 * this silence: one hour.
 */
const SILENCE_MAX_MS = 60 * 60 * 1000;

/**
 * `<host>-<pid>-<start>-<random>`: the name of something that belongs to a process. It identifies
 * the owner.
 */
const OWNED_NAME = /^([0-9a-f]{16})-(\d{1,10})-(\d{1,20})-[0-9a-f]{8}$/;

/** The process that owns something, such as a staging folder or an upload that it holds. */
export interface Owner {
  /**
   * 16 hex digits, shared exactly by the processes that see the same process ids: one machine (or
   * PID namespace) since its last boot.
   */
  readonly host: string;
  readonly pid: number;
  /** When the process started, in clock ticks since boot; `0` if the system does not say. */
  readonly start: string;
}

/** This process. */
export function thisProcess(): Owner {
  return { host: hostId(), pid: process.pid, start: processState(process.pid)?.start ?? "0" };
}

/**
 * A unique name for something that `owner` owns. One process may run several stores, so the process
 * alone is not unique.
 */
export function newName(owner: Owner): string {
  return `${owner.host}-${owner.pid}-${owner.start}-${randomBytes(4).toString("hex")}`;
}

/** The owner in a name that {@link newName} made; `null` for any other name. */
export function ownerOf(name: string): Owner | null {
  const [, host, pid, start] = OWNED_NAME.exec(name) ?? [];
  return host === undefined || pid === undefined || start === undefined ? null : { host, pid: Number(pid), start };
}

/**
 * Whether `owner` is alive, as far as `observer` can see: `unknown` if it runs on another machine,
 * for example.
 */
export function lifeOf(owner: Owner, observer: Owner): "alive" | "dead" | "unknown" {
  if (owner.host !== observer.host) return "unknown";
  if (!processExists(owner.pid)) return "dead";
  const state = processState(owner.pid);
  if (state === null || owner.start === "0") return "unknown";
  // A different start time means that the process id was reused. A zombie is dead; its parent has
  // not collected it yet.
  return state.start !== owner.start || state.ended ? "dead" : "alive";
}

/** Whether an owner that cannot be observed has been silent for so long that it counts as dead. */
export function isSilent(lastSign: Date, now: Date): boolean {
  return now.getTime() - lastSign.getTime() > SILENCE_MAX_MS;
}

/**
 * Whether `owner` is dead. An owner that cannot be observed is judged by `lastSign`, the time at
 * which it last touched its files, by this machine's clock. In doubt it is alive.
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
    // EPERM: the process exists and belongs to another user.
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

/**
 * From `/proc/<pid>/stat` (proc_pid_stat(5)); `null` if there is no such file, as everywhere but on
 * Linux.
 */
function processState(pid: number): { readonly start: string; readonly ended: boolean } | null {
  const stat = readText(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // Field 2 is the command in parentheses, which may contain anything; the fields after it are
  // plain. The start time is field 22.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const [state] = fields;
  const start = fields[19];
  if (state === undefined || start === undefined || !/^\d+$/.test(start)) return null;
  return { start, ended: state === "Z" || state === "X" };
}

/**
 * On Linux, boot id and PID namespace: a process id means the same to two processes exactly when
 * both are equal. Elsewhere the host name and the time of boot, to the minute; if that is off, two
 * processes on one machine cannot observe each other and wait for the hour of silence.
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
