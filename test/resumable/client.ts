/** Requests with exact header fields, each on its own connection, so that interim responses are seen. */
import assert from "node:assert/strict";
import { type RawAnswer, RawClient } from "../helpers/raw-client.ts";

/** The fields and content of a request. */
export interface Sent {
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The announced length; `null` for a request without content. @default the length of `body` */
  readonly length?: number | null;
}

/** A final response, with the interim ones before it. */
export interface Heard extends RawAnswer {
  readonly interim: readonly RawAnswer[];
}

/** Sends one request and reads its responses. */
export async function ask(port: number, method: string, target: string, sent: Sent = {}): Promise<Heard> {
  await using client = await RawClient.open(port);
  await begin(client, method, target, sent);
  const answer = await finalAnswer(client, method);
  return answer;
}

/** Sends a request's header section, and `body` if there is one. */
export async function begin(client: RawClient, method: string, target: string, sent: Sent = {}): Promise<void> {
  const { fields = {}, body = "", length = Buffer.byteLength(body) } = sent;
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  if (length !== null && method !== "HEAD" && method !== "GET") lines.push(`Content-Length: ${length}\r\n`);
  if (fields["Host"] === undefined) lines.unshift("Host: localhost\r\n");
  await client.send(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`);
  if (body.length > 0) await client.send(body);
}

/** Reads responses up to the final one. */
export async function finalAnswer(client: RawClient, method = "POST"): Promise<Heard> {
  const interim: RawAnswer[] = [];
  for (;;) {
    const answer = await client.answer({ head: method === "HEAD" });
    if (answer.status >= 200) return { ...answer, interim };
    interim.push(answer);
  }
}

/** A required field of a response. */
export function field({ fields, status, body }: RawAnswer, name: string): string {
  return fields.get(name) ?? assert.fail(`${status} without ${name}: ${body.toString()}`);
}

/** The members of a JSON response. */
export function json({ body }: RawAnswer): Record<string, unknown> {
  return JSON.parse(body.toString()) as Record<string, unknown>;
}
