/**
 * Servers that see each other as processes of other machines: each runs in a PID namespace of its
 * own, as in a container, so no other process can tell whether it lives.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { diskStore } from "../../src/disk.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import type { StoreFolder } from "../helpers/store-folder.ts";
import type { WebhookReceiver } from "../helpers/webhook-receiver.ts";

const MACHINE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** Starts a server on "another machine", which sends its events to a receiver. Killing it kills all of it. */
export async function startMachine({ path: dir }: StoreFolder, receiver: WebhookReceiver): Promise<ServerProcess> {
  return ServerProcess.start({ dir, under: MACHINE, env: { ...receiver.env, UPLOAD_OPEN: "yes" } });
}

/** Stores a new file. @returns its digest in hex */
export async function store({ url }: ServerProcess): Promise<string> {
  const bytes = randomBytes(1_000);
  const hex = sha256(bytes);
  assert.equal((await fetch(`${url}/uploads/${hex}`, { method: "PUT", body: bytes })).status, 201);
  return hex;
}

/** The names of all documents with events, and what they contain. */
export async function eventDocuments(folder: StoreFolder): Promise<ReadonlyMap<string, string>> {
  await using disk = diskStore({ root: folder.path });
  const documents = disk.documents ?? assert.fail();
  const found = new Map<string, string>();
  for await (const { name } of documents.list("events/")) found.set(name, (await documents.read(name))?.text ?? "");
  return found;
}

/** The document that has the event of a blob. */
export async function documentOf(folder: StoreFolder, hex: string): Promise<string> {
  const documents = [...(await eventDocuments(folder))].filter(([, text]) => text.includes(hex));
  assert.equal(documents.length, 1);
  return documents[0]?.[0] ?? assert.fail();
}
