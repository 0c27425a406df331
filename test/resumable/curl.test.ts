/** The walk-through of docs/resumable.md, read from there and done by hand, with curl. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const run = promisify(execFile);
const DOCUMENT = new URL("../../docs/resumable.md", import.meta.url);

/** A command of the document, and what it says that comes of it. */
interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

let work = "";
let server: ServerProcess;
const part1 = randomBytes(1_000_000);
const part2 = randomBytes(2_000_000);
const film = randomBytes(3_000_000);

before(async () => {
  work = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(work, "data") });
  for (const [name, bytes] of Object.entries({ part1, part2, "film.mp4": film }))
    await writeFile(join(work, name), bytes);
});
after(async () => {
  await server.stop();
  await rm(work, { recursive: true, force: true });
});

/** The steps of each block of the document with a terminal in it. */
async function documented(): Promise<readonly (readonly Step[])[]> {
  const text = await readFile(DOCUMENT, "utf8");
  return [...text.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block = ""]) =>
    block
      .replaceAll(/ \\\n\s*/g, " ")
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const [command = "", ...output] = step.trim().split("\n");
        return { command, output: output.filter((line) => line !== "") };
      }),
  );
}

/** What an output line of the document stands for: `…` for what it leaves out, also of a name in hex before it. */
function patternOf(line: string): RegExp {
  const escaped = line.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const open = escaped.replaceAll(/[0-9a-f]+…/g, "[0-9a-f]+").replaceAll(/ ?…/g, ".*");
  return new RegExp(`^${open.replaceAll(/max-age=\d+/g, "max-age=\\d+")}\\r?$`, "m");
}

/** Does the steps of a block in their order, and gives all that they wrote. */
async function walk(steps: readonly Step[]): Promise<string> {
  let written = "";
  for (const { command, output } of steps) {
    const at = /in-progress\/[0-9a-f]{32}/.exec(written)?.[0] ?? "";
    const here = command.replaceAll("http://127.0.0.1:3000", server.url).replaceAll(/in-progress\/[0-9a-f]+…/g, at);
    assert.match(here, /^curl /);
    const { stdout, stderr } = await run("sh", ["-c", here], { cwd: work });
    let rest = `${stdout}\n${stderr}`;
    for (const line of output) {
      const found = patternOf(line).exec(rest);
      assert.ok(found, `${here}\ndoes not give\n${line}\nbut\n${rest}`);
      // of an exchange that is shown as it went, the order counts
      if (line.startsWith("< ")) rest = rest.slice(found.index + found[0].length);
    }
    written += stdout;
  }
  return written;
}

test("an upload in parts, as the document has it", needing("curl"), async () => {
  const [steps = []] = await documented();
  assert.equal(steps.length, 3);
  const written = await walk(steps);
  const hash = sha256(Buffer.concat([part1, part2]));
  const { url } = JSON.parse(/^\{.*\}$/m.exec(written)?.[0] ?? "") as { url: string };
  assert.equal(url, `/uploads/${hash}.mp4`);
  assert.equal(sha256(Buffer.from(await (await fetch(server.url + url)).arrayBuffer())), hash);
});

test("an upload that receives its URL on the way, as in the documentation", needing("curl"), async () => {
  const [, steps = []] = await documented();
  assert.equal(steps.length, 1);
  assert.match(await walk(steps), new RegExp(`"digest":"sha256:${sha256(film)}"`));
});

test("an upload that curl had to abandon is resumed by hand", needing("curl"), async () => {
  const told = ["-H", "Upload-Complete: ?1", "-H", "Upload-Draft-Interop-Version: 8"];
  // at a pace that would take three times as long
  const slow = ["--limit-rate", "500k", "--max-time", "2", "-sv", "-X", "POST", "--data-binary", "@film.mp4"];
  const broken = await run(
    "curl",
    [...slow, ...told, "-H", "Content-Type: video/mp4", `${server.url}/uploads?filename=again.mp4`],
    {
      cwd: work,
    },
  ).then(
    () => assert.fail("curl came to the end"),
    ({ stderr }: { stderr: string }) => stderr,
  );
  const at = server.url + (/^< Location: (\S+)/m.exec(broken)?.[1] ?? assert.fail(broken));
  const { stdout: head } = await run("curl", ["-sI", at]);
  const offset = Number(/^Upload-Offset: (\d+)/m.exec(head)?.[1]);
  assert.ok(offset > 0 && offset < film.length, head);
  await writeFile(join(work, "rest"), film.subarray(offset));
  const rest = ["-H", "Content-Type: application/partial-upload", "-H", `Upload-Offset: ${offset}`];
  const patch = ["-s", "-X", "PATCH", "--data-binary", "@rest", ...rest, "-H", "Upload-Complete: ?1", at];
  const { stdout } = await run("curl", patch, { cwd: work });
  assert.equal((JSON.parse(stdout) as { url: string }).url, `/uploads/${sha256(film)}.mp4`);
});
