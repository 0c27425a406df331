import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../../test/helpers/free-port.ts";
import { serveProgram } from "./program.ts";

// nginx with one worker over the folder, as its documentation shows it; files can be PUT by WebDAV.
const root = resolve(process.argv[2] ?? "data");
const folder = await mkdtemp(join(tmpdir(), "nginx-"));
const port = await freePort();
const config = `
worker_processes 1; daemon off; pid ${folder}/pid; error_log stderr error; user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_max_body_size 0; client_body_temp_path ${folder}/bodies;
  server { listen 127.0.0.1:${port}; location /uploads/ { alias ${root}/; dav_methods PUT; } }
}`;
await writeFile(join(folder, "nginx.conf"), config);
await serveProgram({ command: "nginx", args: ["-c", join(folder, "nginx.conf")], port });
