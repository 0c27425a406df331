import { createClient } from "../client/node.ts";
import type { Remote } from "./remote.ts";
import { type Trouble, troubleOf } from "./remote-trouble.ts";

/** A link that nothing is stored under. */
const NOWHERE = "0".repeat(64);

/**
 * Asks a service for something small, once: a mistyped address or a missing token is told at once, and not after all the
 * attempts that a client makes where a connection breaks in the middle. `null` where all is well.
 */
export async function reach(remote: Remote, signal: AbortSignal): Promise<Trouble | null> {
  const { endpoint, headers } = remote;
  const client = createClient({ endpoint, headers, storage: null, retry: { attempts: 0 } });
  try {
    await client.stat(NOWHERE, { signal });
    return null;
  } catch (error) {
    const trouble = troubleOf(error, remote);
    if (trouble === null) throw error;
    return trouble;
  } finally {
    client.close();
  }
}
