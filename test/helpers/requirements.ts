import { spawnSync } from "node:child_process";

/** Requirements that a test may have of its machine, and how to check them. */
const CHECKS = {
  bindfs: ["sh", "-c", "bindfs --version && test -w /dev/fuse"],
  bwrap: ["bwrap", "--version"],
  caddy: ["caddy", "version"],
  fish: ["fish", "--version"],
  zsh: ["zsh", "--version"],
  curl: ["curl", "--version"],
  nginx: ["nginx", "-v"],
  python3: ["python3", "--version"],
  pip: ["python3", "-m", "pip", "--version"],
  openssl: ["openssl", "version"],
  wget: ["wget", "--version"],
  root: ["test", "-w", "/proc/1/oom_score_adj"],
  script: ["script", "--version"],
  "/proc": ["test", "-d", "/proc/self/fd"],
  rsync: ["rsync", "--version"],
  "systemd-analyze": ["systemd-analyze", "--version"],
  // it must be installed and permitted to trace
  strace: ["strace", "-f", "-o", "/dev/null", "true"],
  unshare: ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "true"],
  "a mounted tmpfs": ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"],
} as const;

export type Requirement = keyof typeof CHECKS;

const found = new Map<Requirement, boolean>();

/**
 * Options for a test that requires `needs`: if one is missing, it is skipped with the reason. In CI
 * nothing is skipped, so a missing requirement fails the test.
 */
export function needing(...needs: readonly Requirement[]): { readonly skip: string | false } {
  const missing = needs.filter((need) => !isThere(need));
  if (missing.length === 0 || process.env["CI"] === "true") return { skip: false };
  return { skip: `needs ${missing.join(" and ")}` };
}

function isThere(need: Requirement): boolean {
  let there = found.get(need);
  if (there === undefined) {
    const [program, ...args] = CHECKS[need];
    there = spawnSync(program, args, { stdio: "ignore" }).status === 0;
    found.set(need, there);
  }
  return there;
}
