import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { CHILD_ENV } from "./child-env.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Lets programs of this repository import the package by its name, from its sources. */
const HOOK = `
  import { registerHooks } from "node:module";
  registerHooks({
    resolve(name, context, next) {
      const entry = /^fixity(?:\\/([\\w-]+))?$/.exec(name);
      if (entry === null) return next(name, context);
      return next(new URL("src/" + (entry[1] ?? "index") + ".ts", ${JSON.stringify(`file://${ROOT}`)}).href, context);
    },
  });
`;

/** A running example, and its address. */
export interface Example extends AsyncDisposable {
  readonly url: string;
  /** All that it has written. */
  readonly output: string;
}

/** Runs `examples/<name>`, or another program that prints its address, with a disk store in `folder`. */
export async function startExample(
  name: string,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Example> {
  const program = fileURLToPath(new URL(name, new URL("../../examples/", import.meta.url)));
  const hook = `data:text/javascript,${encodeURIComponent(HOOK)}`;
  const child = spawn(process.execPath, ["--import", hook, program], {
    cwd: folder,
    env: { ...CHILD_ENV, PORT: "0", UPLOAD_DIR: folder, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
        if (found !== undefined) resolve(found);
      });
    }
    void exited.then(() => reject(new Error(`${name} ended without an address:\n${output}`)));
  });
  return {
    url,
    get output() {
      return output;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
