import { createServer } from "node:http";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { serve } from "./serve.ts";

// For pages of another origin.
const root = process.argv[2] ?? "data";
const durability = process.argv[3] === "none" ? "none" : "full";
const fixity = createFixity({ store: diskStore({ root, durability }) });
await serve(createServer(nodeHandler(fixity, { cors: { origins: "*" } })));
