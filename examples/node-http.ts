import { createServer } from "node:http";
import { createFixity } from "fixity";
import { diskStore } from "fixity/disk";
import { expectContinue, nodeHandler } from "fixity/node";

const store = diskStore({ root: process.env.UPLOAD_DIR ?? "./data" });
const fixity = createFixity({ store });
const uploads = nodeHandler(fixity);
const server = createServer((request, response) => {
  uploads(request, response, () => response.writeHead(404).end("nothing here"));
});
expectContinue(server, uploads);
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
});

// Saves what running uploads have received before the process exits.
process.once("SIGTERM", async () => {
  const gone = new Promise((resolve) => server.close(resolve));
  await fixity.close();
  await gone;
  await store[Symbol.asyncDispose]();
});
