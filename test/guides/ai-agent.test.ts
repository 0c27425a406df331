/** docs/guides/ai-agent.md: permits by the command line and by an app, used with curl alone. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { Guide } from "../helpers/guide.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

const KEY = "a key for permits that is long enough";
/** As links of the guide begin. The server is elsewhere. */
const PUBLIC = "https://files.example.com";

let guide: Guide;
let server: ServerProcess;
before(async () => {
  guide = await Guide.open("ai-agent");
  const env = { UPLOAD_PERMIT_KEYS: KEY, UPLOAD_PUBLIC_URL: PUBLIC };
  server = await ServerProcess.start({ dir: join(guide.folder, "data"), env });
  await writeFile(join(guide.folder, "chart.png"), "a chart");
  await writeFile(join(guide.folder, "tool.exe"), "a program");
  await writeFile(join(guide.folder, "large.png"), Buffer.alloc(20 * 1024 ** 2 + 1));
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await guide[Symbol.asyncDispose]();
});

/** The curl command of the permit that the guide makes, with other arguments for `fixity permit`. */
async function command(change: (line: string) => string = (line) => line): Promise<string> {
  const { code, out, err } = await guide.shell(change(guide.code("fixity permit")), { UPLOAD_PERMIT_KEYS: KEY });
  assert.equal(code, 0, err);
  return (JSON.parse(out) as { curl: string }).curl;
}

/** What an agent sees that runs a command for a file. */
async function upload(line: string, file: string): Promise<string> {
  const { code, out } = await guide.shell(line.replace("FILE", file).replace(PUBLIC, server.url));
  if (code === 0) return out;
  return `${code} ${(JSON.parse(out) as { code: string }).code}`;
}

describe("an agent with curl", needing("curl"), () => {
  test("gets the link of its file, once, and a reason whenever it is refused", async () => {
    const line = await command();
    assert.equal(await upload(line, "large.png"), "22 size-limit-exceeded");
    assert.equal(await upload(line, "tool.exe"), "22 type-not-allowed");
    assert.equal(await upload(line, "chart.png"), `${PUBLIC}/uploads/${sha256("a chart")}.png\n`);
    assert.equal(await upload(line, "chart.png"), "22 permit-used");
    assert.equal(await upload(line.replace(/(fxp1\.\S{20})\S+'/, "$1'"), "chart.png"), "22 unauthorized");
    await until(async () => server.output.includes("report-agent"));
  });

  test("may upload any number of files without --once, and none with another key", async () => {
    const line = await command((text) => text.replace("--once", ""));
    const link = `${PUBLIC}/uploads/${sha256("a chart")}.png\n`;
    assert.deepEqual([await upload(line, "chart.png"), await upload(line, "chart.png")], [link, link]);
    assert.equal(
      await upload(`echo piped | ${line.replace("uploads/", "uploads/report.csv")}`, "-"),
      `${PUBLIC}/uploads/${sha256("piped\n")}.csv\n`,
    );
    const other = await command((text) => `UPLOAD_PERMIT_KEYS='${"x".repeat(32)}' ${text}`);
    assert.equal(await upload(other, "chart.png"), "22 unauthorized");
  });

  test("follows the instruction that an app has made", async () => {
    const code = guide.code("// instruction");
    await using fixity = createFixity({ store: memoryStore(), permitKeys: [KEY], publicUrl: PUBLIC });
    await writeFile(join(guide.folder, "instruction.ts"), code);
    Object.assign(globalThis, { fixity });
    const file: string = join(guide.folder, "instruction.ts");
    const { uploadInstruction } = (await import(file)) as { uploadInstruction: (agent: string) => string };
    const line =
      uploadInstruction("agent-7")
        .split("\n")
        .find((text) => text.startsWith("curl ")) ?? "";
    await writeFile(join(guide.folder, "notes.txt"), "notes");
    assert.equal(await upload(line, "notes.txt"), `${PUBLIC}/uploads/${sha256("notes")}.txt\n`);
    await until(async () => server.output.includes("agent-7"));
  });
});
