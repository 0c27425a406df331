import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { type ClientSite, openClientSite } from "./client-site.ts";
import type { FileStory, PluginPageOptions } from "./plugin-page.ts";
import { openWatchedPage, type WatchedPage } from "./watched-page.ts";

/** A service, and a site of another origin whose page has the plugin. */
export class PluginPlace implements AsyncDisposable {
  readonly server: ServerProcess;
  readonly #folder: string;
  readonly #site: ClientSite;

  private constructor(parts: { readonly folder: string; readonly site: ClientSite; readonly server: ServerProcess }) {
    this.#folder = parts.folder;
    this.#site = parts.site;
    this.server = parts.server;
  }

  static async start(): Promise<PluginPlace> {
    const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
    const site = await openClientSite(new URL("plugin-page.ts", import.meta.url));
    const server = await startServer({ folder, site });
    return new PluginPlace({ folder, site, server });
  }

  /** Another server on the same store. @param env settings besides */
  anotherServer(env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    return startServer({ folder: this.#folder, site: this.#site }, env);
  }

  /** Opens a page with Uppy and the plugin in it. */
  async openPage(context: BrowserContext, options: PluginPageOptions): Promise<WatchedPage> {
    const opened = await openWatchedPage(context, `http://127.0.0.1:${this.#site.port}/`);
    await opened.page.evaluate((given) => window.plugin.open(given), options);
    return opened;
  }

  /** Chooses files in the page, and adds them to Uppy. */
  async add(page: Page, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
    const paths = Object.keys(files).map((name) => this.pathOf(name));
    for (const [name, bytes] of Object.entries(files)) await writeFile(this.pathOf(name), bytes);
    await page.setInputFiles("#file", paths);
    await page.evaluate(() => window.plugin.add());
  }

  /** Where a file is that was added. */
  pathOf(name: string): string {
    return join(this.#folder, name);
  }

  /** Uploads that the server keeps unfinished. */
  async unfinished(): Promise<string[]> {
    const names = await readdir(join(this.#folder, "data", "uploads"));
    return names.filter((name) => /^[0-9a-f]{32}$/.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await this.#site[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function startServer(
  { folder, site }: { readonly folder: string; readonly site: ClientSite },
  env: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const origins = `http://127.0.0.1:${site.port}`;
  return ServerProcess.start({ dir: join(folder, "data"), env: { UPLOAD_CORS_ORIGINS: origins, ...env } });
}

/** Uploads in a page what was added there; how it went. */
export function upload(page: Page): Promise<readonly FileStory[]> {
  return page.evaluate(() => window.plugin.upload());
}

export function endpointOf({ url }: { readonly url: string }): string {
  return `${url}/uploads`;
}

/** The SHA-256 of what is read through a link. */
export async function stored(url: string): Promise<string> {
  return sha256(Buffer.from(await (await fetch(url)).arrayBuffer()));
}

/** The story of the one file there is. */
export function only(stories: readonly FileStory[]): FileStory {
  const [story] = stories;
  assert.ok(story !== undefined && stories.length === 1);
  return story;
}
