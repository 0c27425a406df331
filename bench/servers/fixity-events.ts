import { createServer } from "node:http";
import { listen } from "../../test/helpers/listen.ts";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { serve } from "./serve.ts";

// Like fixity.ts, with a webhook whose receiver is in the same process.
const [root = "data", secret = ""] = process.argv.slice(2);
const receiver = await listen((request, response) => {
  request.resume();
  response.writeHead(204).end();
});
const events = { url: receiver.url, secret: `whsec_${secret}` };
await serve(createServer(nodeHandler(createFixity({ store: diskStore({ root }), events }))));
