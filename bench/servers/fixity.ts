import Fastify from "fastify";
import { diskStore } from "../../src/disk.ts";
import { fixityPlugin } from "../../src/fastify.ts";
import { createFixity } from "../../src/index.ts";
import { serve } from "./serve.ts";

// as `fixity serve` sets it up, less logs and page
const root = process.argv[2] ?? "data";
const durability = process.argv[3] === "none" ? "none" : "full";
const app = Fastify();
await app.register(fixityPlugin, { fixity: createFixity({ store: diskStore({ root, durability }) }) });
await app.ready();
await serve(app.server);
