/** What a client writes into `X-Forwarded-For` does not change who it is, behind 0, 1 and 2 proxies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

/** What clients pretend, with the addresses of trusted proxies among it. */
const PRETENCES: readonly string[] = [
  "198.51.100.1",
  "198.51.100.2, 198.51.100.3",
  "127.0.0.1",
  "::1",
  "10.0.0.1",
  "10.0.0.2, 10.0.0.1",
  "198.51.100.4, 10.0.0.2",
  "unknown",
  "",
  ",,,",
  '"[2001:db8::1]:80"',
  "::ffff:198.51.100.5",
  "198.51.100.6:80",
  `${"198.51.100.7, ".repeat(500)}10.0.0.1`,
  "\t 198.51.100.8",
];

interface Chain {
  readonly name: string;
  readonly trusted: readonly string[];
  /** The address at the other end of the connection. */
  readonly peer: (client: string) => string;
  /** The field as it arrives, after each proxy has appended the address of its peer. */
  readonly field: (pretence: string, client: string) => string;
}

const CHAINS: readonly Chain[] = [
  { name: "no proxy", trusted: [], peer: (client) => client, field: (pretence) => pretence },
  {
    name: "proxies that others connect past",
    trusted: ["10.0.0.0/24"],
    peer: (client) => client,
    field: (pretence) => pretence,
  },
  {
    name: "one proxy",
    trusted: ["10.0.0.1"],
    peer: () => "10.0.0.1",
    field: (pretence, client) => `${pretence}, ${client}`,
  },
  {
    name: "two proxies",
    trusted: ["10.0.0.0/24"],
    peer: () => "10.0.0.1",
    field: (pretence, client) => `${pretence}, ${client}, 10.0.0.2`,
  },
];

for (const { name, trusted, peer, field } of CHAINS) {
  test(`${name}: a client has one share of the open uploads, whatever it pretends`, async () => {
    await using fixity = createFixity({ store: memoryStore(), uploads: { maxOpen: 20 } });
    const handler = fetchHandler(fixity, {
      trustedProxies: trusted,
      peerAddress: (_request, host) => (host as { readonly address: string }).address,
    });
    const begin = async (client: string, pretence: string): Promise<number> => {
      const headers = {
        "Upload-Complete": "?0",
        "X-Forwarded-For": field(pretence, client),
        "X-Real-IP": pretence.trim(),
        Forwarded: `for=${pretence.slice(0, 12).trim()}`,
      };
      const request = new Request("http://localhost/uploads", { method: "POST", headers, body: "x" });
      return (await handler(request, { address: peer(client) })).status;
    };
    for (const pretence of PRETENCES) assert.equal(await begin("192.0.2.1", pretence), 201, pretence);
    for (const pretence of PRETENCES) assert.equal(await begin("192.0.2.1", pretence), 503, pretence);
    // nor can it use up the share of another
    assert.equal(await begin("192.0.2.2", "192.0.2.1"), 201);
    assert.equal(await begin("192.0.2.1", "192.0.2.2"), 503);
  });
}

test("the log has nothing of what a request says of its client", async () => {
  await using folder = await StoreFolder.make();
  for (const proxies of ["", "127.0.0.1"]) {
    await using server = await ServerProcess.start({
      dir: folder.path,
      env: { UPLOAD_LOG_LEVEL: "debug", ...(proxies !== "" && { UPLOAD_TRUSTED_PROXIES: proxies }) },
    });
    const headers = { "X-Forwarded-For": "198.51.100.1, 198.51.100.2", "X-Real-IP": "198.51.100.3" };
    await fetch(`${server.url}/uploads`, { method: "POST", body: "x", headers });
    await fetch(`${server.url}/uploads/none`, { headers });
    await server.stop();
    assert.match(server.output, /"path":"\/uploads\/none"/);
    assert.doesNotMatch(server.output, /198\.51\.100/);
  }
});
