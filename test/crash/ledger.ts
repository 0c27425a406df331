import assert from "node:assert/strict";
import { sha256 } from "../helpers/service.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import type { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, type Route, type Told, uploadBy } from "../helpers/upload-routes.ts";

/**
 * What clients have sent and what they were promised, over all the servers that ran and died over one folder: what is
 * proved against that folder afterwards.
 */
export class Ledger {
  readonly #folder: StoreFolder;
  /** Digests in hex of all that was ever sent, wholly or in part. */
  readonly #sent = new Set<string>();
  /** Links that were given. */
  readonly #promised = new Set<string>();
  /** Sent since the last proof. */
  #recent = new Map<string, Buffer>();

  constructor(folder: StoreFolder) {
    this.#folder = folder;
  }

  get promised(): number {
    return this.#promised.size;
  }

  /** Uploads, and keeps in mind what came of it; `null` where the connection broke. A refusal is an error. */
  async upload(server: ServerProcess, route: Route, content: Buffer): Promise<Told | null> {
    const hex = sha256(content);
    this.#sent.add(hex);
    this.#recent.set(hex, content);
    let told: Told;
    try {
      told = await uploadBy(route, server.port, content);
    } catch (error) {
      // a socket's own failure: that is how a killed server looks
      if (error instanceof Error && "code" in error) return null;
      throw error;
    }
    assert.ok(told.link !== null, `${route} was answered with ${told.status} ${told.code}`);
    this.#promised.add(told.link);
    return told;
  }

  /**
   * Proves what was sent since the last proof, on a server that has just been started: staging is empty, links that were
   * given serve the right bytes, other content is wholly there or not at all, and can be uploaded again.
   */
  async proveRecent(server: ServerProcess): Promise<void> {
    assert.deepEqual(await this.#folder.staged(), [], "nothing is left staged");
    const recent = this.#recent;
    for (const content of recent.values()) await this.#proveOne(server, content);
    const unpromised = recent.values().find((content) => !this.#promised.has(linkTo(content)));
    if (unpromised !== undefined) await this.upload(server, "raw", unpromised);
    this.#recent = new Map();
  }

  /** Proves the whole folder: it holds all that was promised, nothing that was never sent, and every blob is whole. */
  async proveAll(server: ServerProcess): Promise<void> {
    assert.deepEqual(await this.#folder.staged(), [], "nothing is left staged");
    const stored = await this.#folder.wholeBlobs();
    for (const hex of stored) assert.ok(this.#sent.has(hex), "every blob was sent once");
    for (const link of this.#promised) {
      const response = await fetch(server.url + link);
      assert.equal(response.status, 200, link);
      assert.equal(linkTo(Buffer.from(await response.arrayBuffer())), link);
    }
  }

  async #proveOne(server: ServerProcess, content: Buffer): Promise<void> {
    const link = linkTo(content);
    const response = await fetch(server.url + link);
    const body = Buffer.from(await response.arrayBuffer());
    if (response.status === 404) {
      assert.ok(!this.#promised.has(link), `${link} was given and is lost`);
      return;
    }
    assert.equal(response.status, 200);
    assert.ok(body.equals(content), `${link} serves other bytes`);
  }
}
