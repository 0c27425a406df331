/**
 * What this process is working on: keys under `tmp/` and ids of multipart uploads. A collection by any store of this
 * process leaves them alone, however old they are. Those of other processes are known by their age only.
 */
const live = new Set<string>();

/** Whether this process is working on it. */
export function isLive(name: string): boolean {
  return live.has(name);
}

/** Notes what is being worked on, until the function that it returns is called. */
export function keepAlive(name: string): () => void {
  live.add(name);
  return () => void live.delete(name);
}
