import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

/** A real nginx with one of the configurations in `examples/`, on a free port of loopback. */
export class Nginx implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
  }

  /**
   * @param example name of the file
   * @param places what stands in it, by what is meant here. Each has to be there.
   */
  static async start(example: string, places: Readonly<Record<string, string>>): Promise<Nginx> {
    const folder = await mkdtemp(join(tmpdir(), "fixity-nginx-"));
    const port = await freePort();
    await writeFile(join(folder, "certificates"), rootCertificates.join("\n"));
    let server = await readFile(join(EXAMPLES, example), "utf8");
    const here = { ...places, "listen 80;": `listen 127.0.0.1:${port};` };
    for (const [there, replacement] of Object.entries(here)) {
      if (!server.includes(there)) throw new Error(`${example} has no ${there}`);
      server = server.replaceAll(there, replacement);
    }
    await writeFile(join(folder, "server.conf"), server.replaceAll(CERTIFICATES, join(folder, "certificates")));
    await writeFile(join(folder, "nginx.conf"), mainConfiguration(folder));
    const child = spawn("nginx", ["-c", join(folder, "nginx.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
    // a test that breaks off must leave nothing behind
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    await once(child, "spawn");
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error(`nginx has ended: ${errors}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new Nginx(child, port, folder);
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

/** Around the server block: one process, which is this user's, and nothing outside of the folder. */
function mainConfiguration(folder: string): string {
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
      gzip_types text/plain;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n")}
      include ${folder}/server.conf;
    }`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
