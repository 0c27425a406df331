import { spawn } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../../test/helpers/free-port.ts";

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

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => done(true)).once("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}
