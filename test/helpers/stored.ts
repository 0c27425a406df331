import { sha256 } from "./service.ts";

/** The SHA-256, in hex, of what a link gives. */
export async function stored(url: string): Promise<string> {
  return sha256(Buffer.from(await (await fetch(url)).arrayBuffer()));
}
