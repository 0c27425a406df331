/** `import`, `copy` and `rm` that are killed at any point, beside a server, and run again until they are through. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { Command, type Ended, jsonLines, runCommand } from "../helpers/command.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const MIB = 1024 * 1024;

/** A store to maintain. */
export interface KilledPlace extends AsyncDisposable {
  /** As `fixity copy` names it. */
  readonly name: string;
  /** The settings of commands and servers over it. */
  readonly env: Readonly<Record<string, string>>;
  /** Asserts that nothing half-written is left. Called when no process uses it. */
  readonly assertNothingLeft: () => Promise<void>;
}

export interface KillOptions {
  readonly place: () => Promise<KilledPlace>;
  /** Kills of each command before it may end. */
  readonly kills: number;
  /** Files that are imported, and that are copied; two of each are large. */
  readonly files: number;
  /** Further flags of `import`. */
  readonly importFlags?: readonly string[];
}

/** Registers the test. */
export function testKilledMaintenance(
  name: string,
  { place: makePlace, kills, files, importFlags = [] }: KillOptions,
): void {
  test(name, async (context) => {
    const random = new Random();
    context.diagnostic(`TEST_SEED=${random.seed}`);
    const [importable, copyable] = [contentsOf(random, files), contentsOf(random, files)];
    await using stack = new AsyncDisposableStack();
    const place = stack.use(await makePlace());
    const folder = await mkdtemp(join(tmpdir(), "fixity-kills-"));
    stack.defer(() => rm(folder, { recursive: true }));
    for (const [index, bytes] of importable.entries()) await writeFile(join(folder, `${index}.bin`), bytes);
    const source = stack.use(await storeOf(copyable));
    const { env } = place;
    const server = stack.use(await ServerProcess.start({ dir: env["UPLOAD_DIR"] ?? "/nowhere/data", env }));
    const uploaded: string[] = [];
    const through = async (args: readonly string[], input = ""): Promise<Ended> => {
      for (let kill = 0; kill < kills; kill += 1) {
        await killed(args, { env, input, lines: random.integer(1, files) });
        const body = `an upload meanwhile ${uploaded.length}`;
        const [stored, collected] = await Promise.all([
          fetch(`${server.url}/uploads`, { method: "POST", body }),
          runCommand(["gc"], { env }),
        ]);
        assert.deepEqual([stored.status, collected.code], [201, 0], collected.err);
        uploaded.push(sha256(body));
      }
      return await runCommand(args, { env, input });
    };
    const imported = await through(["import", folder, "--json", ...importFlags]);
    assert.equal(imported.code, 0, imported.out + imported.err);
    const copied = await through(["copy", source.path, place.name, "--json"]);
    assert.equal(copied.code, 0, copied.out + copied.err);
    const digests = [...importable, ...copyable].map(sha256);
    assert.deepEqual(await listed(env), new Set([...digests, ...uploaded]));
    const verified = await runCommand(["verify", "--json"], { env });
    assert.equal(verified.code, 0, verified.out + verified.err);
    // Those that a killed run has removed are missing at the next one.
    await through(["rm", "--yes", "--json", "-"], digests.join("\n"));
    assert.deepEqual(await listed(env), new Set(uploaded));
    await server.stop();
    await runCommand(["gc"], { env });
    await place.assertNothingLeft();
  });
}

/** Kills a command once it has reported a number of results, unless it ends before. */
async function killed(
  args: readonly string[],
  { lines, ...options }: { readonly env: KilledPlace["env"]; readonly input: string; readonly lines: number },
): Promise<void> {
  await using command = new Command(args, options);
  await command.prints(new RegExp(`^(?:[^\\n]*\\n){${lines}}`));
  command.signal("SIGKILL");
  await command.ended;
}

/** The digests of all blobs, in hex. */
async function listed(env: KilledPlace["env"]): Promise<Set<string>> {
  const { code, out, err } = await runCommand(["ls", "--json"], { env });
  assert.equal(code, 0, err);
  const blobs = jsonLines(out).filter(({ status }) => status === "stored");
  return new Set(blobs.map(({ digest }) => String(digest).slice("sha256:".length)));
}

function contentsOf(random: Random, count: number): readonly Buffer[] {
  return Array.from({ length: count }, (_, index) => random.bytes(index < 2 ? 12 * MIB : random.integer(1, 20_000)));
}

async function storeOf(contents: readonly Buffer[]): Promise<StoreFolder> {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  const fixity = createFixity({ store });
  for (const bytes of contents) await fixity.put(bytes);
  return folder;
}

/** A new disk store. */
export async function killedFolder(): Promise<KilledPlace> {
  const folder = await StoreFolder.make();
  return {
    name: folder.path,
    env: { UPLOAD_DIR: folder.path, UPLOAD_DURABILITY: "none" },
    async assertNothingLeft() {
      assert.deepEqual(await folder.staged(), []);
      await folder.wholeBlobs();
    },
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}
