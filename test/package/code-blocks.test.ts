/** Code in the documentation works as it stands there. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Command } from "commander";
import { parseAst } from "rolldown/parseAst";
import { ROOT } from "../../site/pages.ts";
import { makeProgram } from "../../src/cli/program.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { type CodeBlock, codeBlocks, commandsOf, isSkipped, READERS_APP, wholeCode } from "./code-blocks.ts";

const run = promisify(execFile);

const blocks = codeBlocks().filter((block) => !isSkipped(block));
const inLanguage = (...languages: readonly string[]): readonly CodeBlock[] =>
  blocks.filter(({ language }) => languages.includes(language));

let folder = "";
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "fixity-code-blocks-"));
});
after(() => rm(folder, { recursive: true, force: true }));

test("TypeScript in the documentation agrees with the types of the package", async () => {
  const project = path.join(folder, "types");
  await run("mkdir", [project]);
  await symlink(path.join(ROOT, "node_modules"), path.join(project, "node_modules"));
  await writeFile(path.join(project, "package.json"), '{ "type": "module" }');
  await writeFile(path.join(project, "readers-app.ts"), READERS_APP);
  await writeFile(path.join(project, "styles.d.ts"), 'declare module "*.css";');
  const found = inLanguage("ts", "tsx");
  assert.ok(found.length >= 30);
  const places = new Map(found.map((block) => [`${block.id}.${block.language}`, block.place]));
  for (const block of found) {
    await writeFile(path.join(project, `${block.id}.${block.language}`), `${wholeCode(block)}\nexport {};\n`);
  }
  const compilerOptions = {
    lib: ["es2025", "esnext.disposable", "dom", "dom.iterable"],
    jsx: "react-jsx",
    declaration: false,
    isolatedDeclarations: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noImplicitReturns: false,
    skipLibCheck: true,
    paths: {
      fixity: [path.join(ROOT, "src/index.ts")],
      "fixity/client": [path.join(ROOT, "src/client/node.ts")],
      "fixity/client/strip-metadata": [path.join(ROOT, "src/client/strip-metadata.ts")],
      "fixity/*": [path.join(ROOT, "src/*.ts")],
    },
  };
  const config = { extends: path.join(ROOT, "tsconfig.json"), compilerOptions, include: ["*"], exclude: [] };
  await writeFile(path.join(project, "tsconfig.json"), JSON.stringify(config));
  const tsc = path.join(ROOT, "node_modules/typescript/bin/tsc");
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [tsc, "-p", project, "--pretty", "false"], { cwd: project }, (_error, stdout) =>
      resolve(stdout),
    );
  });
  // the source of the package has types of Node or of browsers, and is checked elsewhere
  const errors = output.split("\n").filter((line) => /^[\w-]+\.tsx?\(/.test(line));
  const named = errors.map((line) => line.replace(/^[\w-]+\.tsx?/, (file) => places.get(file) ?? file));
  assert.deepEqual(named, []);
  // a run that has failed has said so of something
  assert.ok(!output.includes("error TS5"), output);
});

test("JavaScript and JSON in the documentation can be parsed", () => {
  for (const { code, place } of inLanguage("js")) assert.doesNotThrow(() => parseAst(code), place);
  for (const { code, place } of inLanguage("json")) assert.doesNotThrow(() => JSON.parse(code), place);
});

/** What a checking program complains about; `null` if it accepts. */
async function complaintOf(program: string, args: readonly string[]): Promise<string | null> {
  const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder };
  return run(program, args, { env }).then(
    () => null,
    (error: { readonly stderr: string; readonly message: string }) => error.stderr || error.message,
  );
}

test("shell in the documentation has the shell's syntax", async () => {
  const files: string[] = [];
  for (const block of inLanguage("sh", "console")) {
    const file = path.join(folder, `${block.id}.sh`);
    await writeFile(file, `${commandsOf(block)}\n`);
    files.push(file);
  }
  const script = 'for file; do bash -n "$file" || exit; done';
  assert.equal(await complaintOf("bash", ["-c", script, "check", ...files]), null);
});

const WRAPPERS = new Set(["npx", "exec", "env", "runuser", "sudo", "--"]);

/** The arguments of every call of the command line in a shell block: `serve --workers 4`. */
function callsOfFixity(block: CodeBlock): readonly string[] {
  const text = commandsOf(block)
    .replaceAll(/\\\n/g, " ")
    .replaceAll(/(?:^|\s)#.*$/gm, "");
  return text.split(/[\n|;&()]+/).flatMap((command) => {
    const words = command.trim().split(/\s+/);
    const index = words.indexOf("fixity");
    const isCalled = words
      .slice(0, Math.max(index, 0))
      .every((word, at) => WRAPPERS.has(word) || /^[A-Z_]+=/.test(word) || word === "-u" || words[at - 1] === "-u");
    return index !== -1 && isCalled && /^[a-z]/.test(words[index + 1] ?? "") ? [words.slice(index + 1).join(" ")] : [];
  });
}

function knowsCall(program: Command, args: string): string | null {
  const words = args.split(/\s+/);
  const flags = words.filter((word) => /^--[a-z]/.test(word)).map((word) => word.replace(/=.*/, ""));
  let command = program;
  for (const word of words) {
    const found: Command | undefined = command.commands.find((one) => one.name() === word);
    if (found === undefined) break;
    command = found;
  }
  if (command === program) return `no command ${words[0]}`;
  const known = new Set([...command.options, ...program.options].map(({ long }) => long).concat("--help"));
  const unknown = flags.filter((flag) => !known.has(flag));
  return unknown.length === 0 ? null : `${command.name()} has no ${unknown.join(", ")}`;
}

test("commands and flags of fixity in the documentation exist", () => {
  const program = makeProgram({});
  const calls = inLanguage("sh", "console").flatMap((block) =>
    callsOfFixity(block).map((args) => ({ place: block.place, args })),
  );
  assert.ok(calls.length >= 25, `${calls.length} calls`);
  const wrong = calls.flatMap(({ place, args }) => {
    const problem = knowsCall(program, args);
    return problem === null ? [] : [`${place}: fixity ${args}: ${problem}`];
  });
  assert.deepEqual(wrong, []);
});

/** Pages whose requests a reader sends to a server that has just been started. */
const FIRST_REQUESTS = new Set(["README.md", "site/index.md", "docs/http.md"]);

test("curl does what the first pages show", needing("curl"), async () => {
  await using server = await ServerProcess.start({ dir: path.join(folder, "data") });
  const place = path.join(folder, "curl");
  await run("mkdir", [place]);
  await writeFile(path.join(place, "photo.png"), "a picture");
  await writeFile(path.join(place, ".curlrc"), "fail-with-body\n");
  const requests = inLanguage("sh", "console").flatMap((block) => {
    const lines = FIRST_REQUESTS.has(block.page) ? commandsOf(block).split("\n") : [];
    // an ellipsis stands for a digest that the reader has
    return lines.filter((line) => /^curl .*127\.0\.0\.1:3000/.test(line) && !line.includes("…"));
  });
  assert.ok(requests.length >= 3, requests.join("\n"));
  for (const line of requests) {
    const command = line.replaceAll("http://127.0.0.1:3000", server.url);
    const { stdout } = await run("bash", ["-c", command], { cwd: place, env: { ...process.env, CURL_HOME: place } });
    assert.match(stdout, /uploads\/[0-9a-f]{64}\.png/, command);
  }
});

test("nginx accepts the configurations in the documentation", needing("nginx"), async () => {
  for (const { code, place, id } of inLanguage("nginx")) {
    const file = path.join(folder, `${id}.conf`);
    await writeFile(file, wholeNginx(code));
    const complaint = await complaintOf("nginx", ["-t", "-q", "-e", "stderr", "-p", folder, "-c", file]);
    assert.equal(complaint, null, place);
  }
});

/** A whole configuration of what may be the part of a server or of `http`. */
function wholeNginx(code: string): string {
  const inServer = /^\s*(?:server|upstream|map|proxy_cache_path|http|events)\b/m.test(code)
    ? code
    : `server {\nlisten 127.0.0.1:8080;\n${code}\n}`;
  const inHttp = /^\s*http \{/m.test(inServer) ? inServer : `http {\n${inServer}\n}`;
  const pathless = `pid ${folder}/nginx.pid;\n${/^\s*events \{/m.test(code) ? "" : "events {}\n"}`;
  // certificates and other machines are not here
  return (pathless + inHttp)
    .replaceAll(/^\s*ssl_certificate(?:_key)? .*$/gm, "")
    .replaceAll(/(listen [^;]*?)\bssl\b/g, "$1")
    .replaceAll(/(proxy_cache_path) \S+/g, `$1 ${folder}/cache`)
    .replaceAll(
      /(\bserver |proxy_pass \w+:\/\/)(?!unix:)[a-z][\w.-]*(?=[:;/])/g,
      (_all, before: string) => `${before}127.0.0.1`,
    );
}

test("Caddy accepts the configurations in the documentation", needing("caddy"), async () => {
  for (const { code, place, id } of inLanguage("caddyfile", "caddy")) {
    const file = path.join(folder, id);
    await writeFile(file, code);
    const complaint = await complaintOf("caddy", ["adapt", "--config", file, "--adapter", "caddyfile", "--validate"]);
    assert.equal(complaint, null, place);
  }
});
