/**
 * Uploads that ask for 104 (Upload Resumption Supported), behind real proxies. nginx does not expect a 104 from an upstream:
 * over HTTP/2 it takes it for the final response, and on a connection that is used again the client gets no response.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { createClient } from "../../src/client.ts";
import { FrontServer, USUAL_PROXY } from "../helpers/front-server.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, field } from "../resumable/client.ts";
import { created, LAST, OPEN, PARTIAL } from "../resumable/ietf-client.ts";

const run = promisify(execFile);

const CONFIGURATIONS = [
  ["examples/nginx-disk.conf", (port: number, variant: object) => example("nginx-disk.conf", port, variant)],
  ["examples/nginx-s3.conf", (port: number, variant: object) => example("nginx-s3.conf", port, variant)],
  [
    "a usual configuration",
    (port: number, variant: object) =>
      FrontServer.nginxWith(USUAL_PROXY, { "127.0.0.1:3000": `127.0.0.1:${port}` }, variant),
  ],
] as const;

function example(name: string, port: number, variant: object): Promise<FrontServer> {
  return FrontServer.nginx(name, { "127.0.0.1:3000": `127.0.0.1:${port}` }, variant);
}

const CONTENT = randomBytes(300_000);
let folder: string;
let service: Service;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-interim-"));
  await writeFile(join(folder, "content"), CONTENT);
  // a connection that Node closes would end the wait for a response that nginx has missed
  service = await Service.start({ keepAliveTimeout: 60_000 });
});

after(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

interface Upload {
  readonly method: string;
  readonly target: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Every request that is answered with 104s where it can be. */
const UPLOADS: readonly (readonly [what: string, make: () => Promise<Upload> | Upload])[] = [
  ["a creation with the whole", () => ({ method: "POST", target: "/uploads", fields: LAST })],
  ["a creation with a part", () => ({ method: "POST", target: "/uploads", fields: OPEN })],
  [
    "a PUT to a link",
    // what is stored already would be answered before there is anything to say in between
    () => ({ method: "PUT", target: `/uploads/${sha256(CONTENT)}`, fields: { ...OPEN, "Upload-Length": "300001" } }),
  ],
  [
    "an append",
    async () => ({
      method: "PATCH",
      target: await created(service),
      fields: { ...PARTIAL, ...LAST, "Upload-Offset": "0" },
    }),
  ],
];

/** The status that curl takes for the final one. Fails where there is none. */
async function statusBehind(
  front: FrontServer,
  { method, target, fields }: Upload,
  options: readonly string[],
): Promise<string> {
  const sent = Object.entries({ ...fields, "Upload-Draft-Interop-Version": "9" });
  const headers = sent.flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const how = ["-sk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "-H", "Expect:"];
  const what = ["-X", method, "--data-binary", `@${join(folder, "content")}`, ...headers, front.url + target];
  const { stdout } = await run("curl", [...how, ...options, ...what]);
  return stdout;
}

for (const [configuration, start] of CONFIGURATIONS) {
  for (const http2 of [false, true]) {
    for (const keepalive of [false, true]) {
      const version = http2 ? "HTTP/2" : "HTTP/1.1";
      const upstream = keepalive ? "connections that are used again" : "a connection for each request";
      void describe(`nginx with ${configuration}, ${version}, ${upstream}`, needing("nginx", "openssl", "curl"), () => {
        let front: FrontServer;

        before(async () => {
          front = await start(service.port, { http2, keepalive });
        });

        after(() => front[Symbol.asyncDispose]());

        for (const [what, make] of UPLOADS) {
          void test(`${what} gets its final response`, async () => {
            const upload = await make();
            const answer = await statusBehind(front, upload, [http2 ? "--http2" : "--http1.1"]);
            // the same content may have been stored before
            assert.match(answer, upload.fields["Upload-Complete"] === "?1" ? /^20[01] / : /^201 /);
            assert.ok(answer.endsWith(http2 ? " 2" : " 1.1"), answer);
          });
        }

        // Node's fetch speaks HTTP/1.1 only
        if (http2) return;
        void test("fixity's own client uploads", async () => {
          const bytes = randomBytes(3_000_000);
          const { digest } = await createClient({ endpoint: `${front.url}/uploads` }).upload(bytes);
          assert.equal(digest, `sha256:${sha256(bytes)}`);
        });
      });
    }
  }
}

for (const [interimResponses, expected] of [
  ["auto", false],
  [true, true],
  [false, false],
] as const) {
  void test(
    `Caddy, interimResponses: ${interimResponses}: ${expected ? "the 104s come through" : "no 104"}`,
    needing("caddy"),
    async () => {
      await using behind = await Service.start({ interimResponses });
      const port = `127.0.0.1:${behind.port}`;
      await using front = await FrontServer.caddy("Caddyfile", { "127.0.0.1:3000": port, "/var/lib/fixity": folder });
      const fields = { ...LAST, "Upload-Draft-Interop-Version": "9", Host: `127.0.0.1:${front.port}` };
      const answer = await ask(front.port, "POST", "/uploads", { fields, body: CONTENT });
      assert.equal(answer.status, 201);
      const statuses = answer.interim.map(({ status }) => status).filter((status) => status === 104);
      assert.equal(statuses.length > 0, expected);
    },
  );
}

for (const [name, value] of [
  ["Via", "1.1 proxy"],
  ["Forwarded", "for=192.0.2.1"],
  ["X-Forwarded-For", "192.0.2.1"],
  ["X-Forwarded-Proto", "https"],
  ["X-Forwarded-Host", "files.example.com"],
  ["X-Real-IP", "192.0.2.1"],
  ["CDN-Loop", "cdn"],
] as const) {
  void test(`${name} shows a proxy, and without the option a request with it gets no 104`, async () => {
    const fields = { ...LAST, "Upload-Draft-Interop-Version": "9", [name]: value };
    const body = randomBytes(10);
    const cautious = await ask(service.port, "POST", "/uploads", { fields, body });
    assert.deepEqual([cautious.status, cautious.interim.length], [201, 0]);
    assert.equal(field(cautious, "upload-complete"), "?1");
    await using sure = await Service.start({ interimResponses: true });
    const told = await ask(sure.port, "POST", "/uploads", { fields, body });
    assert.equal(told.interim[0]?.status, 104);
  });
}

void test("interimResponses: false: no 104 without a proxy either", async () => {
  await using silent = await Service.start({ interimResponses: false });
  const fields = { ...LAST, "Upload-Draft-Interop-Version": "9" };
  const answer = await ask(silent.port, "POST", "/uploads", { fields, body: "hello" });
  assert.deepEqual([answer.status, answer.interim.length], [201, 0]);
});

for (const [setting, expected] of [
  [undefined, [false, true]],
  ["yes", [true, true]],
  ["no", [false, false]],
] as const) {
  void test(`UPLOAD_INTERIM_RESPONSES=${setting ?? "auto"}: with a proxy and without`, async () => {
    const env = { ...(setting !== undefined && { UPLOAD_INTERIM_RESPONSES: setting }) };
    await using server = await ServerProcess.start({ dir: join(folder, `store-${setting}`), env });
    const fields = { ...LAST, "Upload-Draft-Interop-Version": "9" };
    const proxied = await ask(server.port, "POST", "/uploads", { fields: { ...fields, Via: "1.1 a" }, body: "hello" });
    const direct = await ask(server.port, "POST", "/uploads", { fields, body: "hello there" });
    assert.deepEqual(
      [proxied, direct].map(({ interim }) => interim.length > 0),
      expected,
    );
  });
}
