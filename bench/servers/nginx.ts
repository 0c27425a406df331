import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

// nginx with one worker over the folder, as its documentation shows it. This process only starts it.
const root = resolve(process.argv[2] ?? "data");
const folder = await mkdtemp(join(tmpdir(), "nginx-"));
const port = await freePort();
const config = `
worker_processes 1; daemon off; pid ${folder}/pid; error_log stderr error; user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  server { listen 127.0.0.1:${port}; location /uploads/ { alias ${root}/; } }
}`;
await writeFile(join(folder, "nginx.conf"), config);
const nginx = spawn("nginx", ["-c", join(folder, "nginx.conf")], { stdio: "inherit" });
process.on("disconnect", () => nginx.kill());
while (!(await accepts(port))) await new Promise((done) => setTimeout(done, 20));
process.on("message", () => process.send?.({ peakMemory: 0, cpu: 0 }));
process.send?.({ port });

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => done(true)).once("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}
