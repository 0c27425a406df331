/** A guide of `docs/guides`: its code blocks run as a reader would run them, in a folder of their own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ROOT } from "../../site/pages.ts";
import { type CodeBlock, codeBlocks, commandsOf } from "../package/code-blocks.ts";
import { CHILD_ENV } from "./child-env.ts";
import type { Ended } from "./command.ts";
import { type Example, startExample } from "./example.ts";

/** What a program of a guide ends with, unless the guide says so itself. */
const LISTENING = `
const listening = app.listen(Number(process.env.PORT), "127.0.0.1", () => {
  console.log("http://127.0.0.1:" + listening.address().port);
});
`;

/** Texts of a block, and what takes their place here. Each must occur. */
export type Replacements = Readonly<Record<string, string>>;

export class Guide implements AsyncDisposable {
  readonly folder: string;
  readonly #blocks: readonly CodeBlock[];

  private constructor(folder: string, blocks: readonly CodeBlock[]) {
    this.folder = folder;
    this.#blocks = blocks;
  }

  /** @param name `from-multer`, for `docs/guides/from-multer.md` */
  static async open(name: string): Promise<Guide> {
    const blocks = codeBlocks().filter(({ page }) => page === `docs/guides/${name}.md`);
    assert.notEqual(blocks.length, 0, name);
    const folder = await mkdtemp(join(tmpdir(), "fixity-guide-"));
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    await mkdir(join(folder, "bin"));
    const scripts = {
      fixity: `exec '${process.execPath}' '${join(ROOT, "src/cli/main.ts")}' "$@"`,
      npx: 'exec "$@"',
    };
    for (const [program, command] of Object.entries(scripts)) {
      await writeFile(join(folder, "bin", program), `#!/bin/sh\n${command}\n`);
      await chmod(join(folder, "bin", program), 0o755);
    }
    return new Guide(folder, blocks);
  }

  /** The code of the one block in which `text` occurs. */
  code(text: string, replacements: Replacements = {}): string {
    const found = this.#blocks.filter(({ code }) => code.includes(text));
    assert.equal(found.length, 1, `blocks with ${text}`);
    const [block] = found;
    assert.ok(block !== undefined);
    const code = block.language === "console" ? commandsOf(block) : block.code;
    return Object.entries(replacements).reduce((changed, [there, here]) => {
      assert.ok(changed.includes(there), there);
      return changed.replaceAll(there, here);
    }, code);
  }

  /** Runs a program that is made of blocks and defines `app`, until the disposal of what is returned. */
  async start(code: string, env: Readonly<Record<string, string>> = {}): Promise<Example> {
    const program = join(this.folder, "program.ts");
    await writeFile(program, code + LISTENING);
    return startExample(program, this.folder, env);
  }

  /** Runs shell commands, with `fixity` and `npx fixity` among the programs. */
  async shell(commands: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const path = `${join(this.folder, "bin")}:${process.env["PATH"]}`;
    const child = spawn("bash", ["-euc", commands], {
      cwd: this.folder,
      env: { ...CHILD_ENV, PATH: path, HOME: this.folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const code = new Promise<number | null>((resolve) => child.once("close", resolve));
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await code, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}
