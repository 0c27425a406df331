/** What the command line answers to frequent mistakes, and what its help lists. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { forEachConcurrent } from "../../src/base/map-concurrent.ts";
import { runCommand } from "../helpers/command.ts";

const CONCURRENCY = 4;

async function help(command: string): Promise<string> {
  return (await runCommand([command, "--help"])).out;
}

test("a mistake in the arguments is answered with what is meant, and where the help is", async () => {
  const npm = { npm_lifecycle_event: "start" };
  const cases: readonly (readonly [args: string, hint: RegExp, env?: Readonly<Record<string, string>>])[] = [
    ["serve --root /srv", /\(Did you mean --dir\?\)\nSee 'fixity serve --help'\.\n$/],
    ["serve --prt 1", /\(Did you mean --port\?\)\nSee 'fixity serve --help'/],
    ["serve --tokens a", /\n\(Set UPLOAD_TOKENS: a secret has no flag/],
    ["put a.txt --url http://a", /\(Did you mean --to\?\)\nSee 'fixity put --help'/],
    ["put a.txt --token=a", /\n\(Set FIXITY_TOKEN: a secret has no flag/],
    ["get a --out b", /\(Did you mean --output\?\)/],
    ["get a --to b", /\(Did you mean --from\?\)/],
    ["put", /^error: missing required argument 'file': name a file, or use - for standard input\n/],
    ["upload", /^error: missing required argument 'file': name a file.*\nSee 'fixity put --help'/],
    ["serve 8080", /With npm, put -- before flags: npm start -- --port 8080\n/, npm],
    [
      "serve",
      /^fixity: With npm, put -- before flags: npm start -- --port 8080\n$/,
      { ...npm, npm_config_port: "8080" },
    ],
  ];
  await forEachConcurrent(cases, CONCURRENCY, async ([args, hint, env = {}]) => {
    const { code, out, err } = await runCommand(args.split(" "), { env });
    assert.match(err, hint, args);
    assert.deepEqual([code, out], [2, ""], args);
  });
});

test("the settings of serve are in groups", async () => {
  const text = await help("serve");
  const headings = Array.from(text.matchAll(/^([A-Z].*):$/gm), ([, heading]) => heading);
  const expected = [
    "Options",
    "Listening",
    "Access",
    "Store on disk",
    "S3",
    "Uploads",
    "Reading",
    "Resumable uploads",
    "Log, metrics and stop",
  ];
  for (const heading of expected) assert.ok(headings.includes(heading), `${heading} in ${headings.join(", ")}`);
});

test("commands for stores list the settings that they use, and accept the others", async () => {
  for (const command of ["gc", "doctor"]) {
    const text = await help(command);
    assert.match(text, /--dir <folder>/);
    assert.doesNotMatch(text, /--durability|--memory|--cache|--downloads/, command);
  }
  assert.doesNotMatch(await help("gc"), /--bucket-part-size/);
  const { err } = await runCommand(["gc", "--dir", "/nowhere", "--durability", "none"]);
  assert.match(err, /There is no store in "\/nowhere"/);
});

test("fixity version prints the version", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  assert.equal((await runCommand(["version"])).out, `${version}\n`);
});
