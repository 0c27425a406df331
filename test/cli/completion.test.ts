import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify, stripVTControlCharacters } from "node:util";
import { runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";

const run = promisify(execFile);

/** What is typed before the Tab key, and the words that it must offer, or must not. */
const CASES: readonly (readonly [typed: string, offered: readonly string[], notOffered: readonly string[]])[] = [
  ["fixity up", ["upload"], ["put", "--help"]],
  ["fixity put --re", ["--recursive"], ["--to"]],
  ["fixity upload --con", ["--concurrency"], []],
  ["fixity serve --durability ", ["full", "none"], ["--dir"]],
  ["fixity serve --bucket-", ["--bucket-name"], ["--bucket-secret-key"]],
  ["fixity gc --", ["--damaged", "--expiry"], ["--memory"]],
  ["fixity completion ", ["bash", "zsh", "fish"], []],
  ["fixity help verif", ["verify"], []],
  ["fixity put a-f", ["a-file.txt"], []],
];

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await writeFile(join(folder, "a-file.txt"), "");
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, out } = await runCommand(["completion", shell]);
    assert.equal(code, 0);
    await writeFile(join(folder, `script.${shell}`), out);
  }
});
after(() => rm(folder, { recursive: true, force: true }));

function assertOffers(complete: (typed: string) => Promise<readonly string[]>): Promise<void[]> {
  return Promise.all(
    CASES.map(async ([typed, offered, notOffered]) => {
      const words = await complete(typed);
      for (const word of offered) assert.ok(words.includes(word), `${typed}: ${word} in ${JSON.stringify(words)}`);
      for (const word of notOffered) assert.ok(!words.includes(word), `${typed}: ${word} in ${JSON.stringify(words)}`);
    }),
  );
}

test("bash completes commands, flags and values", async () => {
  // As bash does: the function first, then names of files.
  const script = `source script.bash
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fixity
    [[ \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
    printf '%s\n' "\${COMPREPLY[@]}"`;
  await assertOffers(async (typed) => {
    const { stdout } = await run("bash", ["-c", script, "bash", ...typed.split(" ")], { cwd: folder });
    return stdout.trim().split("\n");
  });
});

test("fish completes commands, flags and values", needing("fish"), async () => {
  await assertOffers(async (typed) => {
    const env = { ...process.env, HOME: folder };
    const { stdout } = await run("fish", ["-c", `source script.fish; complete -C '${typed}'`], { cwd: folder, env });
    return stdout
      .trim()
      .split("\n")
      .map((line) => line.split("\t")[0] ?? "");
  });
});

test("zsh completes commands, flags and values", needing("zsh"), async () => {
  // A shell within a pseudo-terminal, which prints all words that it offers.
  const script = `zmodload zsh/zpty
    zpty shell zsh -f -i
    ask() { zpty -w shell "$1" }
    wait() { local out; zpty -r -m shell out "*$1*" }
    ask 'PROMPT=; stty -echo; autoload -Uz compinit; compinit -u -D; source script.zsh; unsetopt zle_bracketed_paste 2>/dev/null'
    ask 'compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- "<"\${^found}">"; builtin compadd "$@" }'
    ask 'show() { zle complete-word; print "<end>"; exit }; zle -C complete-word complete-word _main_complete; zle -N show; bindkey "^T" show; print "<re""ady>"'
    wait '<ready>'
    zpty -w -n shell "$1"$'\\C-t'
    zpty -r -m shell out '*<end>*'
    print -r -- $out`;
  await assertOffers(async (typed) => {
    const { stdout } = await run("zsh", ["-f", "-c", script, "zsh", typed], { cwd: folder, timeout: 30_000 });
    // The terminal rings its bell in between.
    const text = stripVTControlCharacters(stdout).replaceAll("\u0007", "");
    return Array.from(text.matchAll(/<([^<>\r\n]+)>/g), ([, word = ""]) => word);
  });
});

test("an unknown shell is refused", async () => {
  const { code, err } = await runCommand(["completion", "tcsh"]);
  assert.equal(code, 2);
  assert.match(err, /value 'tcsh' is invalid.*Allowed choices are bash, zsh, fish/);
});
