/** Exit codes are the same for all commands: 0 for help, 2 for a mistake in the arguments. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachConcurrent } from "../../src/base/map-concurrent.ts";
import { runCommand } from "../helpers/command.ts";

const CONCURRENCY = 4;

/** The names of all commands, from the help. */
async function commands(): Promise<readonly string[]> {
  const { out } = await runCommand(["--help"]);
  return Array.from(out.matchAll(/^ {2}(\w+)/gm), ([, name = ""]) => name).filter((name) => name !== "help");
}

test("a mistake in the arguments exits with 2, for every command", async () => {
  const names = await commands();
  assert.ok(names.includes("serve") && names.includes("put"), String(names));
  await forEachConcurrent(["", ...names], CONCURRENCY, async (name) => {
    const { code, out, err } = await runCommand([...(name === "" ? [] : [name]), "--no-such-flag"]);
    assert.deepEqual([code, out], [2, ""], name);
    assert.match(err, new RegExp(`^error: .*\\n(?:.*\\n)*See 'fixity ?${name} --help'\\.\\n$`));
  });
});

test("help exits with 0, for every command", async () => {
  await forEachConcurrent(["", ...(await commands())], CONCURRENCY, async (name) => {
    const { code, err } = await runCommand([...(name === "" ? [] : [name]), "--help"]);
    assert.deepEqual([code, err], [0, ""], name);
  });
});

test("an unknown command, or none, exits with 2", async () => {
  const unknown = await runCommand(["no-such-command"]);
  assert.deepEqual([unknown.code, unknown.out], [2, ""]);
  assert.match(unknown.err, /unknown command 'no-such-command'/);
  const none = await runCommand([]);
  assert.deepEqual([none.code, none.out], [2, ""]);
  assert.match(none.err, /^Usage: fixity/);
});

test("wrong settings exit with 2, for every command that reads them", async () => {
  const store = { UPLOAD_DURABILITY: "half" };
  const service = { FIXITY_URL: "ftp://example.com" };
  const cases: readonly (readonly [args: readonly string[], env: Readonly<Record<string, string>>])[] = [
    [["serve"], store],
    [["gc"], store],
    [["verify"], store],
    [["block", "--list"], store],
    [["unblock", "a".repeat(64)], store],
    [["doctor"], store],
    [["put", "a.txt"], service],
    [["get", "a".repeat(64)], service],
    [["stat", "a".repeat(64)], service],
    [["sign", "a".repeat(64), "--expires", "1h"], service],
    [["permit", "--expires", "1h", "--max-size", "1MiB"], service],
  ];
  await forEachConcurrent(cases, CONCURRENCY, async ([args, env]) => {
    const { code, out, err } = await runCommand(args, { env });
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, /^fixity: (?:UPLOAD_DURABILITY|FIXITY_URL) must be/, args.join(" "));
  });
});
