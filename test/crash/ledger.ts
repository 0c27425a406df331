import assert from "node:assert/strict";
import { sha256 } from "../helpers/service.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import type { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, type Route, type Told, uploadBy } from "../helpers/upload-routes.ts";

/**
 * Records what clients sent and which links they received, across all servers that ran on one
 * folder, and checks the folder against these records.
 */
export class Ledger {
  readonly #folder: StoreFolder;
  /** Digests in hex of all contents sent, completely or in part. */
  readonly #sent = new Set<string>();
  /** Links that clients received. */
  readonly #promised = new Set<string>();
  /** Contents sent since the last check. */
  #recent = new Map<string, Buffer>();

  constructor(folder: StoreFolder) {
    this.#folder = folder;
  }

  get promised(): number {
    return this.#promised.size;
  }

  /** Uploads a content. Returns `null` if the connection broke. A refusal is an error. */
  async upload(server: ServerProcess, route: Route, content: Buffer): Promise<Told | null> {
    const hex = sha256(content);
    this.#sent.add(hex);
    this.#recent.set(hex, content);
    let told: Told;
    try {
      told = await uploadBy(route, server.port, content);
    } catch (error) {
      // a failure of the socket, as when the server is killed
      if (error instanceof Error && "code" in error) return null;
      throw error;
    }
    assert.ok(told.link !== null, `${route} was answered with ${told.status} ${told.code}`);
    this.#promised.add(told.link);
    return told;
  }

  /**
   * Checks everything sent since the last check, on a server that has just started: staging is
   * empty, links that clients received serve the right bytes, other content is stored completely or
   * not at all, and can be uploaded again.
   */
  async proveRecent(server: ServerProcess): Promise<void> {
    assert.deepEqual(await this.#folder.staged(), [], "nothing is left staged");
    const recent = this.#recent;
    for (const content of recent.values()) await this.#proveOne(server, content);
    const unpromised = recent.values().find((content) => !this.#promised.has(linkTo(content)));
    if (unpromised !== undefined) await this.upload(server, "raw", unpromised);
    this.#recent = new Map();
  }

  /**
   * Checks the whole folder: it has the blobs of all links that clients received and nothing that was
   * never sent, and every blob is intact.
   */
  async proveAll(server: ServerProcess): Promise<void> {
    assert.deepEqual(await this.#folder.staged(), [], "nothing is left staged");
    const stored = await this.#folder.wholeBlobs();
    for (const hex of stored) assert.ok(this.#sent.has(hex), "every blob has been sent");
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
      assert.ok(!this.#promised.has(link), `${link} was acknowledged and is lost`);
      return;
    }
    assert.equal(response.status, 200);
    assert.ok(body.equals(content), `${link} serves other bytes`);
  }
}
