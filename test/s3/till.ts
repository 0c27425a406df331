/** What a service over a bucket costs in requests. */
import assert from "node:assert/strict";
import { Digest } from "../../src/core/digest.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { fileHead, formOf, Service, type ServiceOptions, sha256 } from "../helpers/service.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const KIB = 1024;
/** The size of parts. */
export const PART: number = 8 * 1024 * KIB;

/** Requests by operation. */
export type Counts = Record<string, number>;

/** Counts what the routes cost, in one service over one bucket. */
export class Till implements AsyncDisposable {
  readonly service: Service;
  /** By the name of a row. */
  readonly found: Map<string, Counts> = new Map<string, Counts>();
  readonly #proxy: FaultProxy;
  readonly #place: S3Place;
  #seed = 100;

  private constructor(service: Service, proxy: FaultProxy, place: S3Place) {
    this.service = service;
    this.#proxy = proxy;
    this.#place = place;
  }

  static async open(gateway: Gateway, options: ServiceOptions = {}): Promise<Till> {
    const proxy = await FaultProxy.start(gateway.endpoint);
    const place = new S3Place(gateway);
    const store = place.store({ endpoint: proxy.endpoint, partSize: PART });
    const service = await Service.start({ store, ...options });
    const till = new Till(service, proxy, place);
    // the first upload teaches the store how its server wants conditions to be written
    const at = await till.createTus(2 * KIB);
    await till.patchTus(at, 0, till.bytes(KIB));
    return till;
  }

  get #collection(): string {
    return `${this.service.url}/uploads`;
  }

  /** Bytes that are not stored yet. */
  bytes(size: number): Buffer<ArrayBuffer> {
    this.#seed += 1;
    return Buffer.from(new Random(this.#seed).bytes(size));
  }

  /** Counts the requests of `run` as those of a row. */
  async count(row: string, run: () => Promise<unknown>): Promise<void> {
    this.enter(row, await this.counted(run));
  }

  async counted(run: () => Promise<unknown>): Promise<Counts> {
    await this.#proxy.reset();
    await run();
    const counts: Counts = {};
    for (const { operation, key, prefix } of this.#proxy.seen) {
      // Before a read, at most once in ten seconds: the text above the table says so.
      if (operation === "ListObjectsV2" && prefix?.endsWith("documents/marks/") === true) continue;
      // A holder looks at its record while its sender is slow: how often depends on the machine.
      if (operation === "HeadObject" && this.#place.layout.uploadIdOf(key) !== null) continue;
      counts[operation] = (counts[operation] ?? 0) + 1;
    }
    return counts;
  }

  /** Whether the service has looked for events of other processes. */
  get hasLooked(): boolean {
    return this.#proxy.seen.some(({ prefix }) => prefix?.endsWith("documents/events/") === true);
  }

  /** Whether no event waits for its delivery, or for its removal from the bucket. */
  async isDelivered(): Promise<boolean> {
    const documents = this.#place.store().documents ?? assert.fail();
    const names = (await Array.fromAsync(documents.list("events/"))).map(({ name }) => name);
    const texts = await Promise.all(names.map(async (name) => (await documents.read(name))?.text ?? ""));
    return texts.every((text) => !text.includes("evt_"));
  }

  enter(row: string, counts: Counts): void {
    assert(!this.found.has(row), row);
    this.found.set(row, counts);
  }

  /** How many requests of a kind there have been since counting began. */
  seen(operation: string): number {
    return this.#proxy.counts[operation] ?? 0;
  }

  /** Starts `fixity serve` over another, empty prefix, and counts its requests as well. */
  async startServer(place: S3Place): Promise<ServerProcess> {
    const settings = { ...bucketSettings(place.gateway), UPLOAD_BUCKET_PREFIX: place.prefix };
    const env = { ...settings, UPLOAD_BUCKET_ENDPOINT: this.#proxy.endpoint };
    return ServerProcess.start({ dir: "/nowhere/data", env });
  }

  get gateway(): Gateway {
    return this.#place.gateway;
  }

  async send(method: string, path: string, status: number, init: RequestInit = {}): Promise<Response> {
    const url = path.startsWith("http") ? path : this.service.url + path;
    const answer = await fetch(url, { method, redirect: "manual", ...init });
    assert.equal(answer.status, status, `${method} ${path}: ${await answer.clone().text()}`);
    await answer.clone().arrayBuffer();
    return answer;
  }

  async form(bytes: Buffer, status: number): Promise<string> {
    const { boundary, body } = formOf([{ head: fileHead("a.png"), content: bytes }]);
    const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
    const answer = await this.send("POST", "/uploads", status, { body: body as Uint8Array<ArrayBuffer>, headers });
    return ((await answer.json()) as { url: string }).url;
  }

  async put(bytes: Buffer, status: number): Promise<void> {
    await this.send("PUT", `/uploads/${sha256(bytes)}.png`, status, { body: bytes as Uint8Array<ArrayBuffer> });
  }

  /** Changes one bit of the object that holds the bytes. */
  async damage(bytes: Buffer): Promise<void> {
    const other = Buffer.from(bytes);
    other[0] = (other[0] ?? 0) ^ 1;
    const digest = Digest.fromHex(sha256(bytes)) ?? assert.fail();
    await this.#place.put(this.#place.layout.blob(digest), other);
  }

  /** Reads bytes that are damaged, until the service has marked them. */
  async refused(bytes: Buffer): Promise<void> {
    const url = `${this.service.url}/uploads/${sha256(bytes)}`;
    const answer = await fetch(url);
    // A large file is broken off first.
    if (answer.status === 200) await answer.arrayBuffer().catch(() => null);
    const status = answer.status === 200 ? (await fetch(url)).status : answer.status;
    assert.equal(status, 500);
  }

  async remove(bytes: Buffer): Promise<void> {
    const digest = Digest.fromHex(sha256(bytes)) ?? assert.fail();
    assert.equal(await this.service.fixity.remove(digest), true);
  }

  async createTus(length: number, sha?: string): Promise<string> {
    const metadata = sha === undefined ? {} : { "Upload-Metadata": `sha256 ${Buffer.from(sha).toString("base64")}` };
    const headers = { "Tus-Resumable": "1.0.0", "Upload-Length": String(length), ...metadata };
    const answer = await this.send("POST", "/uploads", 201, { headers });
    return new URL(answer.headers.get("location") ?? "", this.#collection).href;
  }

  async patchTus(at: string, offset: number, bytes: Buffer): Promise<void> {
    const headers = {
      "Tus-Resumable": "1.0.0",
      "Upload-Offset": String(offset),
      "Content-Type": "application/offset+octet-stream",
    };
    await this.send("PATCH", at, 204, { body: bytes as Uint8Array<ArrayBuffer>, headers });
  }

  async wholeTus(bytes: Buffer, sha?: string): Promise<void> {
    const at = await this.createTus(bytes.length, sha);
    for (let offset = 0; offset < bytes.length; offset += PART) {
      await this.patchTus(at, offset, bytes.subarray(offset, offset + PART));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    await this.service.fixity.store[Symbol.asyncDispose]();
    await this.#place[Symbol.asyncDispose]();
    await this.#proxy[Symbol.asyncDispose]();
  }
}
