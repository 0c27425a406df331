/**
 * What becomes of events when a server is killed between an intent and its delivery. The server is a
 * process; two other instances over the same store look for its events, and a webhook receives them.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createFixity, Digest, type Fixity, UploadId } from "../../src/index.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { WebhookReceiver } from "../helpers/webhook-receiver.ts";

const TOKEN = "s3cret-of-a-token-that-may-remove";
const OWNER = { kind: "token", name: "test" } as const;
const FIELDS = { authorization: `Bearer ${TOKEN}` };
/** How often the other instances look for events of the killed one. */
const INTERVAL_MS = 100;

/** What the killed server is asked to do. */
export const WORKS = ["upload", "resumable upload", "removal"] as const;
export type Work = (typeof WORKS)[number];

/** One request, and whether the client knows that it was carried out. */
export interface Attempt {
  readonly work: Work;
  readonly hex: string;
  readonly isAcknowledged: boolean;
}

/** A place of a store. */
export interface EventPlace {
  /** The settings of a server over the store. */
  readonly env: Readonly<Record<string, string>>;
  /** The folder of a disk store. */
  readonly dir: string;
  /** Opens the store for another instance. */
  readonly open: () => BlobStore;
}

/** A receiver, two instances, and the servers that are killed. */
export class KillScene implements AsyncDisposable {
  readonly receiver: WebhookReceiver;
  readonly #place: EventPlace;
  readonly #stores: readonly BlobStore[];
  readonly #others: readonly Fixity[];

  private constructor(receiver: WebhookReceiver, place: EventPlace) {
    this.receiver = receiver;
    this.#place = place;
    this.#stores = [place.open(), place.open()];
    const events = { url: receiver.url, secret: receiver.secret, interval: INTERVAL_MS };
    this.#others = this.#stores.map((store) => createFixity({ store, events }));
  }

  static async start(place: EventPlace): Promise<KillScene> {
    return new KillScene(await WebhookReceiver.start(), place);
  }

  /** Starts a server that has delivered an event: what only the first one does is behind it. */
  async startServer(env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    const { dir } = this.#place;
    const access = { UPLOAD_TOKENS: `test=${TOKEN} may=create|remove` };
    const server = await ServerProcess.start({
      dir,
      env: { ...this.#place.env, ...access, ...this.receiver.env, ...env },
    });
    const { hex, isAcknowledged } = await (await this.prepare("upload", server))();
    assert.ok(isAcknowledged, server.output);
    await this.receiver.receives("blob.stored", hex);
    await this.delivered(hex);
    return server;
  }

  /** Does all that goes before the request that matters. @returns a function that makes it */
  async prepare(work: Work, server: ServerProcess): Promise<() => Promise<Attempt>> {
    const bytes = randomBytes(4_000);
    const hex = sha256(bytes);
    const link = `${server.url}/uploads/${hex}`;
    let request = (): Promise<Response> => fetch(link, { method: "PUT", body: bytes, headers: FIELDS });
    let resume: (() => Promise<unknown>) | null = null;
    if (work === "removal") {
      assert.equal((await request()).status, 201);
      await this.receiver.receives("blob.stored", hex);
      await this.delivered(hex);
      request = () => fetch(link, { method: "DELETE", headers: FIELDS });
    }
    if (work === "resumable upload") {
      const tus = { ...FIELDS, "tus-resumable": "1.0.0" };
      const create = { method: "POST", headers: { ...tus, "upload-length": String(bytes.length) } };
      const created = await fetch(`${server.url}/uploads`, create);
      const at = new URL(created.headers.get("location") ?? assert.fail(await created.text()), server.url);
      const append = { ...tus, "upload-offset": "0", "content-type": "application/offset+octet-stream" };
      request = () => fetch(at, { method: "PATCH", headers: append, body: bytes });
      // Every other client comes back, and completes its upload at another instance.
      const id = UploadId.parse(at.pathname.split("/").at(-1) ?? "");
      if (Number.parseInt(hex.slice(0, 1), 16) % 2 === 0) resume = () => this.#complete(id, bytes);
    }
    return async () => {
      const response = await request().catch(() => null);
      const isAcknowledged = response !== null && response.status < 300;
      if (!isAcknowledged) {
        assert.equal(response, null, `${work} was answered with ${response?.status}`);
        await server.exit;
        await resume?.();
      }
      return { work, hex, isAcknowledged };
    };
  }

  /** Waits until no document has an event of a blob: it was delivered, and its removal is durable. */
  async delivered(hex: string): Promise<void> {
    await until(async () => (await this.#documents()).every(({ text }) => !text.includes(hex)));
  }

  /**
   * Waits until the other instances have taken over all that is left of a server that was killed, and
   * proves that each event has arrived that had to, and no other.
   */
  async prove(attempts: readonly Attempt[], killed: readonly ServerProcess[]): Promise<void> {
    await until(async () =>
      (await this.#documents()).every(({ name }) => killed.every(({ pid }) => !name.includes(`-${pid}-`))),
    );
    for (const attempt of attempts) await this.#proveOne(attempt);
    // What has not happened is only told from what is slow by waiting for something that comes later.
    await this.#others[0]?.put(randomBytes(100));
    for (const attempt of attempts) await this.#proveOne(attempt);
    assert.deepEqual(this.receiver.refused, [], "every signature was right");
  }

  async #proveOne({ work, hex, isAcknowledged }: Attempt): Promise<void> {
    const isStored = (await this.#stores[0]?.stat(digestOf(hex))) !== null;
    const hasHappened = isStored === (work !== "removal");
    if (isAcknowledged) assert.ok(hasHappened, `${work} of ${hex} was acknowledged`);
    const type = work === "removal" ? "blob.removed" : "blob.stored";
    if (hasHappened) await this.receiver.receives(type, hex);
    const ids = new Set(this.receiver.of(type, hex).map(({ id }) => id));
    assert.equal(ids.size, hasHappened ? 1 : 0, `events of the ${work} of ${hex}`);
  }

  async #complete(id: UploadId, bytes: Buffer): Promise<void> {
    const uploads = this.#others[1]?.uploads ?? assert.fail("the store keeps uploads");
    const { offset, outcome } = await uploads.find(id);
    if (outcome !== null) return;
    const terms = { owner: OWNER, kept: null, context: null, requestId: "resumed" };
    await uploads.append(id, { offset, source: [bytes.subarray(offset)], completes: true, terms });
  }

  async #documents(): Promise<{ readonly name: string; readonly text: string }[]> {
    const documents = this.#stores[0]?.documents ?? assert.fail("the store keeps documents");
    const found: { name: string; text: string }[] = [];
    for await (const { name } of documents.list("events/")) {
      found.push({ name, text: (await documents.read(name))?.text ?? "" });
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fixity of this.#others) await fixity.close();
    for (const store of this.#stores) await store[Symbol.asyncDispose]();
    await this.receiver[Symbol.asyncDispose]();
  }
}

function digestOf(hex: string): Digest {
  return Digest.fromHex(hex) ?? assert.fail(hex);
}
