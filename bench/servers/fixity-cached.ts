import { createServer } from "node:http";
import { cachedStore } from "../../src/cache.ts";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { serve } from "./serve.ts";

// As `fixity serve` sets it up with UPLOAD_CACHE, without logs and page.
const root = process.argv[2] ?? "data";
const store = cachedStore(diskStore({ root, durability: "none" }));
await serve(createServer(nodeHandler(createFixity({ store }))));
