/**
 * What this process is working on, and how often: keys and ids of multipart uploads. A collection by any store of this
 * process leaves them alone, however old they are. Those of other processes are known by their age only.
 */
const live = new Map<string, number>();

/** Whether this process is working on it. */
export function isLive(name: string): boolean {
  return live.has(name);
}

/** Notes what is being worked on, until the function that it returns is called; calling that again does nothing. */
export function keepAlive(name: string): () => void {
  let isKept = true;
  live.set(name, (live.get(name) ?? 0) + 1);
  return () => {
    if (!isKept) return;
    isKept = false;
    const others = (live.get(name) ?? 1) - 1;
    if (others === 0) live.delete(name);
    else live.set(name, others);
  };
}
