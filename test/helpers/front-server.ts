import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

/** What many put in front of a service without having read its documentation, for nginx. */
export const USUAL_PROXY = `
server {
    listen 80;
    client_max_body_size 0;
    location / {
        proxy_pass http://127.0.0.1:3000;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}`;

/** Replacements in a configuration, by the text to replace, which must occur. */
export type Places = Readonly<Record<string, string>>;

/** Changes that an operator may make to a configuration. */
export interface Variant {
  /** Whether to use TLS with a self-signed certificate, and HTTP/2. */
  readonly http2?: boolean;
  /** Whether to reuse connections to the service, as nginx's manual recommends (`keepalive` in an `upstream`). */
  readonly keepalive?: boolean;
  /** The user, and group of the same name, that the server runs as. For root only. @default the test's own */
  readonly uid?: number;
}

/** A real web server in front of a service, on a free port of loopback, with one of the configurations in `examples/`. */
export class FrontServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #scheme: "http" | "https";
  readonly #log: readonly string[];

  private constructor(child: ChildProcess, { port, folder, scheme, log }: Place & { readonly log: readonly string[] }) {
    this.#log = log;
    this.#child = child;
    this.port = port;
    this.#folder = folder;
    this.#scheme = scheme;
  }

  static async nginx(example: string, places: Places, variant: Variant = {}): Promise<FrontServer> {
    return FrontServer.nginxWith(await readFile(join(EXAMPLES, example), "utf8"), places, variant);
  }

  /** nginx with a configuration of the test: one or more `server` blocks. */
  static async nginxWith(given: string, places: Places, { http2, keepalive, uid }: Variant = {}): Promise<FrontServer> {
    const place = await makePlace(http2 === true ? "https" : "http");
    const { folder, port } = place;
    const certificates = join(folder, "certificates");
    await writeFile(certificates, rootCertificates.join("\n"));
    const tls = `ssl http2; ssl_certificate ${folder}/certificate; ssl_certificate_key ${folder}/key;`;
    if (http2 === true) await makeCertificate(folder);
    const listening = `listen 127.0.0.1:${port}`;
    let server = replaced(given.replace("/etc/ssl/certs/ca-certificates.crt", certificates), {
      "listen 80;": http2 === true ? `${listening} ${tls}` : `${listening};`,
    });
    if (keepalive === true) {
      server = replaced(server, {
        "proxy_pass http://127.0.0.1:3000;": 'proxy_pass http://service; proxy_set_header Connection "";',
      });
      server = `upstream service { server 127.0.0.1:3000; keepalive 8; }\n${server}`;
    }
    await writeFile(join(folder, "server.conf"), replaced(server, places));
    await writeFile(join(folder, "nginx.conf"), aroundServerBlock(folder));
    return FrontServer.#start("nginx", ["-c", join(folder, "nginx.conf")], { ...place, uid });
  }

  static async caddy(example: string, places: Places): Promise<FrontServer> {
    const place = await makePlace("http");
    const { folder, port } = place;
    const given = await readFile(join(EXAMPLES, example), "utf8");
    const site = replaced(given, { ...places, "files.example.com {": `http://127.0.0.1:${port} {` });
    const config = join(folder, "Caddyfile");
    await writeFile(config, `{\n\tadmin off\n}\n${site}`);
    return FrontServer.#start("caddy", ["run", "--config", config, "--adapter", "caddyfile"], place);
  }

  /**
   * The configuration of `examples/deployment/` with TLS and HTTP/2, and a self-signed certificate.
   *
   * @param upstreams ports of the service's instances
   */
  static async deployed(program: "nginx" | "caddy", upstreams: readonly number[]): Promise<FrontServer> {
    const place = await makePlace("https");
    const { folder, port } = place;
    await makeCertificate(folder);
    const example = join(EXAMPLES, "deployment", program === "nginx" ? "nginx.conf" : "Caddyfile");
    const given = await readFile(example, "utf8");
    const addresses = upstreams.map((port) => `127.0.0.1:${port}`);
    if (program === "caddy") {
      const site = replaced(given, {
        "{$FIXITY_HOST:files.example.com} {": `https://:${port} {\n\tbind 127.0.0.1\n\ttls ${folder}/certificate ${folder}/key`,
        "{$FIXITY_UPSTREAMS:127.0.0.1:3000}": addresses.join(" "),
        // as the file says for several instances
        ...(upstreams.length > 1 && { "# health_": "health_", "# fail_": "fail_" }),
      });
      const config = join(folder, "Caddyfile");
      await writeFile(config, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`);
      return FrontServer.#start("caddy", ["run", "--config", config, "--adapter", "caddyfile"], place);
    }
    const server = replaced(given, {
      "listen 80;": `listen unix:${folder}/http;`,
      "listen 443 ssl http2;": `listen 127.0.0.1:${port} ssl http2;`,
      "/etc/letsencrypt/live/files.example.com/fullchain.pem": `${folder}/certificate`,
      "/etc/letsencrypt/live/files.example.com/privkey.pem": `${folder}/key`,
      "server 127.0.0.1:3000 max_fails=0;": addresses.map((address) => `server ${address} max_fails=0;`).join("\n"),
    });
    await writeFile(join(folder, "server.conf"), server);
    await writeFile(join(folder, "nginx.conf"), aroundServerBlock(folder));
    return FrontServer.#start("nginx", ["-c", join(folder, "nginx.conf")], place);
  }

  static async #start(program: string, args: readonly string[], place: Place): Promise<FrontServer> {
    const { folder, port, uid } = place;
    if (uid !== undefined) await promisify(execFile)("chown", ["-R", `${uid}:${uid}`, folder]);
    // all files of the server itself go into the folder
    const env = { PATH: process.env["PATH"], HOME: folder };
    const child = spawn(program, args, {
      env,
      stdio: ["ignore", "ignore", "pipe"],
      ...(uid !== undefined && { uid, gid: uid }),
    });
    const log: string[] = [];
    child.stderr.setEncoding("utf8").on("data", (text: string) => log.push(text));
    // a test that fails early must leave nothing behind
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    await once(child, "spawn");
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error(`${program} has ended: ${log.join("")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new FrontServer(child, { ...place, log });
  }

  /** What it has logged so far, to standard error. */
  get log(): string {
    return this.#log.join("");
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

interface Place {
  readonly uid?: number | undefined;
  readonly scheme: "http" | "https";
  readonly folder: string;
  readonly port: number;
}

async function makePlace(scheme: Place["scheme"]): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-front-"));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return { folder, port, scheme };
}

async function makeCertificate(folder: string): Promise<void> {
  const files = ["-keyout", join(folder, "key"), "-out", join(folder, "certificate")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await promisify(execFile)("openssl", ["req", "-x509", "-days", "1", ...kind, ...files, ...names]);
}

function replaced(text: string, places: Places): string {
  return Object.entries(places).reduce((text, [there, here]) => {
    if (!text.includes(there)) throw new Error(`the example has no ${there}`);
    return text.replaceAll(there, here);
  }, text);
}

/** The main configuration: one process of this user, and no files outside the folder. */
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
