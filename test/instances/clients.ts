/**
 * Clients of a soak: programs as users run them, each of which retries in its own way until its file
 * is stored.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as tus from "tus-js-client";
import { createClient, type UploadProgress } from "../../src/client/node.ts";
import { runCommand } from "../helpers/command.ts";

const run = promisify(execFile);

/** Stores a file, and returns its link's path. Rejects if the program gives up. */
export type UploadWith = (content: Buffer, file: FileToSend) => Promise<string>;

/** Where a file goes. */
export interface FileToSend {
  /** The server's address: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** A folder for the client's own files. */
  readonly folder: string;
  /** Unique, ends with `.bin`. */
  readonly name: string;
  /** Called before each further attempt, by clients that report it. */
  readonly onRetry: () => void;
}

/** `fixity/client`, which resumes. */
async function fixityClient(content: Buffer, { url, name, onRetry }: FileToSend): Promise<string> {
  const client = createClient({ endpoint: `${url}/uploads`, retry: { maxDelay: 2000 } });
  try {
    let phase = "";
    const onProgress = (progress: UploadProgress): void => {
      if (progress.phase === "waiting" && phase !== "waiting") onRetry();
      ({ phase } = progress);
    };
    const stored = await client.upload(content as Buffer<ArrayBuffer>, { filename: name, onProgress });
    return new URL(stored.url).pathname;
  } finally {
    client.close();
  }
}

/** `fixity put`, which resumes. */
async function fixityPut(content: Buffer, { url, folder, name }: FileToSend): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  const env = { HOME: folder, XDG_STATE_HOME: folder };
  const { code, out, err } = await runCommand(["put", "--to", url, path], { env });
  if (code !== 0) throw new Error(`fixity put ended with ${code}: ${err}`);
  return new URL(out.trim()).pathname;
}

/** tus-js-client, which resumes. Its retries are those of its documentation, and a few more. */
function tusClient(content: Buffer, { url, name, onRetry }: FileToSend): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let link = "";
  const upload = new tus.Upload(content, {
    endpoint: `${url}/uploads`,
    metadata: { filename: name },
    retryDelays: [0, 500, 1000, 1000, 2000, 2000, 2000, 3000, 5000],
    onAfterResponse: (_request, response) => {
      link = response.getHeader("Content-Location") ?? link;
    },
    onShouldRetry: (error) => {
      onRetry();
      const status = error.originalResponse?.getStatus() ?? 0;
      return status < 400 || status === 409 || status >= 500;
    },
    onError: reject,
    onSuccess: () => (link === "" ? reject(new Error("the last response has no link")) : resolve(link)),
  });
  upload.start();
  return promise;
}

/** `curl -F`, which sends the whole form again. */
function curlForm(content: Buffer, file: FileToSend): Promise<string> {
  return curl(content, file, (path) => ["-F", `upload=@${path}`, `${file.url}/uploads`]);
}

/** `curl -T`, which sends the whole file again. */
function curlPut(content: Buffer, file: FileToSend): Promise<string> {
  return curl(content, file, (path) => ["-T", path, `${file.url}/uploads/`]);
}

async function curl(
  content: Buffer,
  { folder, name, onRetry }: FileToSend,
  request: (path: string) => readonly string[],
): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  const retries = ["--no-progress-meter", "--retry", "20", "--retry-all-errors", "--retry-delay", "1"];
  const { stdout, stderr } = await run("curl", [
    "-sS",
    "--fail-with-body",
    ...retries,
    "-H",
    "Accept: text/plain",
    ...request(path),
  ]);
  for (const _ of stderr.matchAll(/will retry/gi)) onRetry();
  // what failed attempts were answered comes first
  const link = stdout.trimEnd().split("\n").at(-1) ?? "";
  return link.startsWith("http") ? new URL(link).pathname : link;
}

/** All kinds of clients, by name. */
export const CLIENTS: Readonly<Record<string, UploadWith>> = {
  "fixity/client": fixityClient,
  "fixity put": fixityPut,
  "tus-js-client": tusClient,
  "curl -F": curlForm,
  "curl -T": curlPut,
};
