import { createServer } from "node:http";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { serve } from "./serve.ts";

// As `fixity serve` sets it up, without logs and page.
const root = process.argv[2] ?? "data";
const durability = process.argv[3] === "none" ? "none" : "full";
const verifyReads = process.argv[4] === "always" ? "always" : "daily";
await serve(createServer(nodeHandler(createFixity({ store: diskStore({ root, durability }), verifyReads }))));
