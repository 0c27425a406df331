import { randomBytes } from "node:crypto";

const instance = randomBytes(5).toString("hex");
let serial = 0;

/** A name for one exchange, to find it again in a log: of this process, and then counted. What a client sends is not used. */
export function nextRequestId(): string {
  serial = (serial + 1) % Number.MAX_SAFE_INTEGER;
  return `${instance}-${serial.toString(36)}`;
}
