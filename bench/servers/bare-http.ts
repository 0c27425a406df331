import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { blobFields, PUBLIC_CACHE_CONTROL as cacheControl } from "../../src/http/serving.ts";
import { Link } from "../../src/core/link.ts";
import { serve } from "./serve.ts";

// What node:http costs by itself: the same files from memory, with the same fields as those of fixity, and nothing else. A
// request for an unknown path makes it read its folder.
const root = process.argv[2] ?? "data";
const answers = new Map<string, { readonly lines: string[]; readonly bytes: Buffer }>();

async function load(): Promise<void> {
  for (const name of await readdir(root)) {
    const bytes = await readFile(join(root, name));
    const link = Link.parse(`${createHash("sha256").update(bytes).digest("hex")}.bin`);
    const options = {
      filename: null,
      download: false,
      scripts: false,
      resourcePolicy: "cross-origin",
      cacheControl,
    } as const;
    const fields = { ...blobFields(link, options), "Content-Length": String(bytes.length) };
    answers.set(`/uploads/${name}`, { lines: Object.entries(fields).flat(), bytes });
  }
}

await serve(
  createServer((request, response) => {
    const answer = answers.get(request.url ?? "");
    if (answer === undefined) {
      void load().then(() => response.writeHead(204).end());
      return;
    }
    response.writeHead(200, answer.lines).end(answer.bytes);
  }),
);
