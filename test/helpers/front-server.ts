import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

/** Texts of a configuration, by what is meant in their place. Each has to be there. */
export type Places = Readonly<Record<string, string>>;

/** A real web server in front of a service, on a free port of loopback, with one of the configurations in `examples/`. */
export class FrontServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
  }

  static async nginx(example: string, places: Places): Promise<FrontServer> {
    const { folder, port } = await makePlace();
    const certificates = join(folder, "certificates");
    await writeFile(certificates, rootCertificates.join("\n"));
    const given = await readFile(join(EXAMPLES, example), "utf8");
    const server = replaced(given.replace("/etc/ssl/certs/ca-certificates.crt", certificates), {
      ...places,
      "listen 80;": `listen 127.0.0.1:${port};`,
    });
    await writeFile(join(folder, "server.conf"), server);
    await writeFile(join(folder, "nginx.conf"), aroundServerBlock(folder));
    return FrontServer.#start("nginx", ["-c", join(folder, "nginx.conf")], { folder, port });
  }

  static async caddy(example: string, places: Places): Promise<FrontServer> {
    const { folder, port } = await makePlace();
    const given = await readFile(join(EXAMPLES, example), "utf8");
    const site = replaced(given, { ...places, "files.example.com {": `http://127.0.0.1:${port} {` });
    const config = join(folder, "Caddyfile");
    await writeFile(config, `{\n\tadmin off\n}\n${site}`);
    return FrontServer.#start("caddy", ["run", "--config", config, "--adapter", "caddyfile"], { folder, port });
  }

  static async #start(program: string, args: readonly string[], { folder, port }: Place): Promise<FrontServer> {
    // whatever a server keeps of its own goes into the folder
    const env = { PATH: process.env["PATH"], HOME: folder };
    const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    // a test that breaks off must leave nothing behind
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    await once(child, "spawn");
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error(`${program} has ended: ${errors}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new FrontServer(child, port, folder);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "exit");
    }
    await rm(this.#folder, { recursive: true });
  }
}

interface Place {
  readonly folder: string;
  readonly port: number;
}

async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-front-"));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return { folder, port };
}

function replaced(text: string, places: Places): string {
  return Object.entries(places).reduce((text, [there, here]) => {
    if (!text.includes(there)) throw new Error(`the example has no ${there}`);
    return text.replaceAll(there, here);
  }, text);
}

/** One process, which is this user's, and nothing outside of the folder. */
function aroundServerBlock(folder: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
    daemon off;
    master_process off;
    ${process.getuid?.() === 0 ? `user ${userInfo().username};` : ""}
    pid ${folder}/pid;
    error_log stderr;
    events {}
    http {
      access_log off;
      types { text/plain txt; }
      gzip on;
      gzip_types *;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n")}
      include ${folder}/server.conf;
    }`;
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
