import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ServerProcess } from "../../helpers/server-process.ts";
import { sha256 } from "../../helpers/service.ts";
import { readRecording, RecordingProxy, shapeOf } from "./recording-proxy.ts";
import { LABELS, linkFrom, nameFrom, ODD_NAME, PHOTO, recorded } from "./recordings.ts";

const run = promisify(execFile);

/** What a sender reports: all of fixity's receipt, or the link alone. */
export interface Receipt {
  readonly url?: string;
  readonly name?: string | null;
}

/** A file with bytes of its own, as long as the recorded one, in a folder under both of its names. */
export interface Sending {
  readonly folder: string;
  readonly photo: Buffer;
}

/** A temporary folder with installed packages, and a running fixity behind a proxy that records what they send. */
export class SendersPlace implements AsyncDisposable {
  readonly folder: string;
  readonly #server: ServerProcess;
  readonly #proxy: RecordingProxy;

  private constructor(folder: string, server: ServerProcess, proxy: RecordingProxy) {
    this.folder = folder;
    this.#server = server;
    this.#proxy = proxy;
  }

  /** Starts fixity, with the folder from {@link install}. `pages` answers requests that are not for fixity. */
  static async start(
    folder: string,
    { corsOrigins, pages }: { readonly corsOrigins?: string; readonly pages?: RequestListener } = {},
  ): Promise<SendersPlace> {
    const env = corsOrigins === undefined ? {} : { UPLOAD_CORS_ORIGINS: corsOrigins };
    const server = await ServerProcess.start({ dir: join(folder, "data"), env });
    return new SendersPlace(folder, server, await RecordingProxy.start(server.url, pages));
  }

  get origin(): string {
    return this.#proxy.url;
  }

  /** The collection's URL. */
  get endpoint(): string {
    return `${this.origin}/uploads`;
  }

  async newSending(): Promise<Sending> {
    const photo = Buffer.concat([PHOTO.subarray(0, -16), randomBytes(16)]);
    const folder = await mkdtemp(join(this.folder, "sending-"));
    for (const name of ["photo.png", ODD_NAME]) await writeFile(join(folder, name), photo);
    return { folder, photo };
  }

  /** The receipt is right, and so is all that {@link assertStored} looks at. */
  async assertSent(label: string, sending: Sending, receipt: Receipt): Promise<void> {
    assert.equal(receipt.url, linkFrom(label, sha256(sending.photo)));
    if (receipt.name !== undefined) assert.equal(receipt.name, nameFrom(label));
    await this.assertStored(label, sending);
  }

  /** The file is stored; the sender needed one request for it, which has the shape of the recorded one. */
  async assertStored(label: string, { photo }: Sending): Promise<void> {
    const stored = await fetch(this.#server.url + linkFrom(label, sha256(photo)));
    assert.equal(stored.status, 200);
    assert.deepEqual(Buffer.from(await stored.arrayBuffer()), photo);
    const [sent, ...more] = this.#proxy.recordings.splice(0);
    assert.ok(sent !== undefined && more.length === 0, "it sent one request");
    if (!LABELS.includes(label)) return;
    assert.deepEqual(shapeOf(sent, photo), shapeOf(await readRecording(await recorded(label)), PHOTO));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Copies a folder's files to a temporary folder and installs the packages of its manifests there. */
export async function install(manifests: URL, files: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-senders-"));
  for (const file of ["package.json", "package-lock.json", ...files]) {
    await copyFile(new URL(file, manifests), join(folder, file));
  }
  await copyFile(fileURLToPath(new URL("../../../.npmrc", import.meta.url)), join(folder, ".npmrc"));
  const npm = run("npm", ["ci", "--ignore-scripts", "--prefer-offline", "--loglevel=error"], { cwd: folder });
  const requirements = ["-r", "requirements.txt"];
  const pip = files.includes("requirements.txt")
    ? run("python3", ["-m", "pip", "install", "--quiet", "--target", "python", ...requirements], { cwd: folder })
    : null;
  await Promise.all([npm, pip]);
  return folder;
}
