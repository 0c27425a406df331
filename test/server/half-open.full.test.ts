import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";

test(
  "connections whose header section is overdue get a response, and hold no resources",
  needing("/proc"),
  async () => {
    const dir = await mkdtemp(join(tmpdir(), "fixity-test-"));
    try {
      await using server = await ServerProcess.start({ dir });
      await fetch(`${server.url}/healthz`, { headers: { connection: "close" } });
      const before = await server.openFiles();
      const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.open(server.port)));
      // a third says nothing, a third half a header section, and a third goes on byte by byte
      const drips = clients.map((client, index) => {
        if (index % 3 === 0) return null;
        void client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
        return index % 3 === 1 ? null : setInterval(() => void client.send("x"), 500);
      });
      try {
        for (const client of clients) assert.equal((await client.answer()).status, 408);
        await until(async () => (await server.openFiles()) <= before);
      } finally {
        for (const drip of drips) if (drip !== null) clearInterval(drip);
        for (const { socket } of clients) socket.destroy();
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  },
);
