import { createServer } from "node:http";
import { cachedStore } from "../../src/cache.ts";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { serve } from "./serve.ts";

// As fixity-cached.ts, for programs with a token among 20 and readers with signed links.
const root = process.argv[2] ?? "data";
const { tokens, linkKey } = JSON.parse(process.argv[3] ?? "{}") as { tokens: readonly string[]; linkKey: string };
const store = cachedStore(diskStore({ root, durability: "none" }));
const fixity = createFixity({ store, reads: "signed", linkKeys: [linkKey] });
await serve(createServer(nodeHandler(fixity, { tokens })));
