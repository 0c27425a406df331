import assert from "node:assert/strict";
import { test } from "node:test";
import { FrontServer } from "../helpers/front-server.ts";
import { Host, HOSTS } from "../helpers/hosts.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { Service } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { cellsOf, CONCURRENT, type Manner, runCells } from "./early-answers.ts";

/** Clients that send the rest only when they have been answered. */
const WAITING: ReadonlySet<Manner> = new Set(["slowly", "never"]);

for (const name of HOSTS) {
  test(
    `${name}: every early answer is read whatever the client does next, and nothing is held`,
    CONCURRENT,
    async (t) => {
      await using host = await Host.start(name);
      await runCells(t, host, host.port, cellsOf(name));
      await until(async () => (await host.connections()) === 0);
    },
  );

  for (const buffering of ["on", "off"] as const) {
    const title = `${name}: every early answer passes nginx with kept connections and proxy_request_buffering ${buffering}`;
    test(title, { ...CONCURRENT, ...needing("nginx") }, async (t) => {
      await using host = await Host.start(name);
      await using nginx = await FrontServer.nginxWith(serverBlock(host.port, buffering), {});
      const cells = cellsOf(name, { via: "nginx" });
      // with buffering, nginx passes a request on when it has the whole: nothing is early, but what is known from the length
      const passed = cells.filter(
        ({ row, manner }) => row.provoke === undefined && row.isSilent !== true && !WAITING.has(manner),
      );
      await runCells(t, host, nginx.port, buffering === "on" ? passed : cells);
    });
  }
}

test("the rest of a kept connection is waited for no longer than the documented time", async (t) => {
  await using service = await Service.start();
  const { url } = await service.fixity.put(Buffer.from("there"));
  await using client = await RawClient.open(service.port);
  await client.send(`GET ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n`);
  const answer = await client.answer();
  assert.deepEqual([String(answer.body), answer.fields.get("connection")], ["there", "keep-alive"]);
  // a byte now and then does not prolong it
  const drip = setInterval(() => void client.send("x"), 1000);
  t.after(() => clearInterval(drip));
  await client.closed();
});

function serverBlock(host: number, buffering: "on" | "off"): string {
  return `
    upstream fixity { server 127.0.0.1:${host}; keepalive 4; }
    server {
      listen 80;
      client_max_body_size 0;
      location / {
        proxy_pass http://fixity;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_request_buffering ${buffering};
        proxy_next_upstream off;
      }
    }`;
}
