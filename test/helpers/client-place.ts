import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command, type CommandOptions, type Ended } from "./command.ts";
import { ServerProcess } from "./server-process.ts";
import { StoreFolder } from "./store-folder.ts";

/** A running service, and a user with a working folder and a state folder. */
export class ClientPlace implements AsyncDisposable {
  /** The folder in which commands run. */
  readonly folder: string;
  readonly store: StoreFolder;
  server: ServerProcess;
  /** The environment of commands. Tests may change the URL of the service. */
  env: Record<string, string>;
  readonly #parent: string;

  private constructor(parent: string, store: StoreFolder, server: ServerProcess) {
    this.#parent = parent;
    this.folder = join(parent, "files");
    this.store = store;
    this.server = server;
    this.env = { FIXITY_URL: `${server.url}/uploads`, HOME: parent, XDG_STATE_HOME: join(parent, "state") };
  }

  /** @param env settings of the server */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<ClientPlace> {
    const store = await StoreFolder.make();
    const server = await ServerProcess.start({ dir: store.path, env: { UPLOAD_LOG_LEVEL: "error", ...env } });
    const place = new ClientPlace(await mkdtemp(join(tmpdir(), "fixity-client-")), store, server);
    await mkdir(place.folder);
    return place;
  }

  /** Writes a file, and returns its path. */
  async file(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(this.folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  }

  /** Starts `fixity <args>` in the folder. */
  begin(args: readonly string[], options: CommandOptions = {}): Command {
    return new Command(args, { cwd: this.folder, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs `fixity <args>` in the folder to its end. */
  async run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    await using command = this.begin(args, options);
    return await command.ended;
  }

  /** The URL of the link to `hex`. */
  url(hex: string, extension = ""): string {
    return `${this.env["FIXITY_URL"]}/${hex}${extension}`;
  }

  /** Uploads bytes without the command. */
  async upload(content: Uint8Array | string, name: string): Promise<void> {
    const url = `${this.server.url}/uploads?filename=${encodeURIComponent(name)}`;
    const response = await fetch(url, { method: "POST", body: content as Uint8Array<ArrayBuffer> });
    if (!response.ok) throw new Error(await response.text());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await rm(this.#parent, { recursive: true, force: true });
  }
}
