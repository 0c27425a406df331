import { createHash, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import multipart from "@fastify/multipart";
import Fastify from "fastify";
import { serve } from "./serve.ts";

// https://github.com/fastify/fastify-multipart, "pipeline(data.file, createWriteStream(…))", with a hash on the way and a
// name by content at the end: what an application needs for links like ours. No fsync.
const root = process.argv[2] ?? "data";
const app = Fastify();
await app.register(multipart, { limits: { fileSize: 5 * 1024 ** 3 } });
app.post("/uploads", async (request, reply) => {
  const data = await request.file();
  if (data === undefined) return reply.code(400).send();
  const hash = createHash("sha256");
  const temporary = join(root, `${randomUUID()}.tmp`);
  await pipeline(
    data.file,
    async function* (source) {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(temporary),
  );
  const digest = hash.digest("hex");
  await rename(temporary, join(root, digest));
  return reply.code(201).send({ url: `/uploads/${digest}` });
});
await app.ready();
await serve(app.server);
