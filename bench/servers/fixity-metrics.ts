import { createServer } from "node:http";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { Metrics } from "../../src/server/metrics/metrics.ts";
import { serve } from "./serve.ts";

// The service as it is, or measured.
const root = process.argv[2] ?? "data";
const fixity = createFixity({ store: diskStore({ root, durability: "none" }) });
const metrics = process.argv[3] === "measured" ? new Metrics(fixity, "0.0.0") : null;
await serve(createServer(nodeHandler(fixity)));
process.once("exit", () => metrics?.[Symbol.dispose]());
