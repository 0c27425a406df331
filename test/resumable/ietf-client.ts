/** Requests of a client of the IETF protocol. */
import assert from "node:assert/strict";
import type { Service } from "../helpers/service.ts";
import { ask, field, type Heard } from "./client.ts";

export const OPEN = { "Upload-Complete": "?0" };
export const LAST = { "Upload-Complete": "?1" };
export const PARTIAL = { "Content-Type": "application/partial-upload" };

/** Creates an upload with these bytes. @returns its URL */
export async function created(
  service: Service,
  body: string | Uint8Array = "",
  fields: Record<string, string> = {},
): Promise<string> {
  const answer = await ask(service.port, "POST", "/uploads", { fields: { ...OPEN, ...fields }, body });
  assert.equal(answer.status, 201, answer.body.toString());
  return field(answer, "location");
}

export function append(
  service: Service,
  at: string,
  sent: { offset: number; body?: string | Uint8Array; fields?: Record<string, string> },
): Promise<Heard> {
  const { offset, body = "", fields = {} } = sent;
  return ask(service.port, "PATCH", at, {
    fields: { ...PARTIAL, "Upload-Offset": String(offset), ...OPEN, ...fields },
    body,
  });
}

export async function offsetOf(service: Service, at: string): Promise<number> {
  const answer = await ask(service.port, "HEAD", at);
  assert.equal(answer.status, 204);
  return Number(field(answer, "upload-offset"));
}
