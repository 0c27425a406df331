/** The receivers in docs/events.md work as they stand there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { until } from "../helpers/settled.ts";
import { newWebhookSecret } from "../helpers/webhook-receiver.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const RECEIVERS = [
  { language: "js", program: process.execPath, args: ["--input-type=module", "-e"], needs: {} },
  { language: "python", program: "python3", args: ["-c"], needs: needing("python3") },
] as const;

for (const { language, program, args, needs } of RECEIVERS) {
  test(
    `the receiver of the documentation (${language}) accepts events, and refuses those of others`,
    needs,
    async () => {
      const section = (await readFile(`${ROOT}docs/events.md`, "utf8")).split("## Verify the signature")[1] ?? "";
      const source = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "s").exec(section)?.[1] ?? assert.fail();
      const port = await freePort();
      const secret = newWebhookSecret();
      const env = { PATH: process.env["PATH"], PORT: String(port), WEBHOOK_SECRET: secret };
      const child = spawn(program, [...args, source], { env, cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => (output += text));
      }
      try {
        const url = `http://127.0.0.1:${port}/`;
        const unsigned = { method: "POST", body: "{}", headers: { "webhook-id": "evt_1", "webhook-timestamp": "1" } };
        await until(async () =>
          fetch(url, { method: "POST", body: "{}" }).then(
            () => true,
            () => false,
          ),
        );
        const fields = { ...unsigned.headers, "webhook-signature": "v1,AAAA" };
        assert.equal((await fetch(url, { ...unsigned, headers: fields })).status, 401);
        await using fixity = createFixity({ store: memoryStore(), events: { url, secret } });
        const { digest } = await fixity.put(Buffer.from("to be received"));
        await until(async () => output.includes(`blob.stored ${digest.toString()}`));
        const refusals: unknown[] = [];
        const events = { url, secret: newWebhookSecret() };
        const log = (_: string, cause?: unknown): void => void refusals.push(cause);
        await using other = createFixity({ store: memoryStore(), events, log });
        await other.put(Buffer.from("of another sender"));
        await until(async () => refusals.length > 0);
        assert.match(String(refusals[0]), /answered 401/);
      } finally {
        child.kill("SIGKILL");
      }
    },
  );
}
