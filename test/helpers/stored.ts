import { sha256 } from "./service.ts";

/** The SHA-256 in hex of the file that a link serves. */
export async function stored(url: string): Promise<string> {
  return sha256(Buffer.from(await (await fetch(url)).arrayBuffer()));
}
