/** Request targets without a path of the server: a server answers or ends the connection, and lives on. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

const TARGETS = [
  "*", "?", "?a", "a", "uploads", "uploads?view", "a:1", ":", "#", "//", "///", "/..", "/%", "/%00", "%2fuploads", "\\uploads",
  "http://localhost", "http://localhost?a", "http://", "https://a/uploads", "/uploads?", "/uploads/?view", "/uploads//", "__proto__",
]; // prettier-ignore

const FORM = ["Content-Type: application/x-www-form-urlencoded", "Origin: http://localhost", "Content-Length: 0"];

/** Sends a request, and returns everything that comes back until the server ends the connection. */
function send(port: number, lines: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let received = "";
    socket.setEncoding("latin1").on("data", (text: string) => (received += text));
    socket.on("error", () => null);
    socket.on("close", () => resolve(received));
    socket.write([...lines, "Connection: close", "", ""].join("\r\n"));
  });
}

test("no request target ends a server", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "store") });
  for (const target of TARGETS) {
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"]) {
      for (const accept of ["text/html", "application/json", "*/*"]) {
        const line = `${method} ${target} HTTP/1.1`;
        const fields = ["Host: localhost", `Accept: ${accept}`, ...(method === "POST" ? FORM : [])];
        const answer = await send(server.port, [line, ...fields]);
        // Node itself ends a CONNECT without a response.
        const expected = method === "CONNECT" ? /^(HTTP\/1\.1 [2-4]|$)/ : /^HTTP\/1\.1 [2-4]/;
        assert.match(answer, expected, `${line}, ${accept}: ${server.output.slice(-1000)}`);
      }
    }
  }
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
});
