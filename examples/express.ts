import express from "express";
import { createFixity } from "fixity";
import { cachedStore } from "fixity/cache";
import { diskStore } from "fixity/disk";
import { nodeHandler } from "fixity/node";

// Small files that are read often are kept in memory.
const store = cachedStore(diskStore({ root: process.env.UPLOAD_DIR ?? "./data" }), { budget: 32 * 1024 ** 2 });
const fixity = createFixity({
  store,
  maxSize: 50 * 1024 ** 2,
});
const app = express();

app.use(
  nodeHandler(fixity, {
    // Everyone may read, who knows the secret may upload, and no one may remove.
    authorize({ action, exchange }) {
      if (action === "remove") return { deny: 403, message: "Files are kept." };
      if (action === "read" || action === "view" || action === "stat") return true;
      if (exchange.fields.get("authorization") === "Bearer let-me-in-please") return true;
      return { deny: 401, message: "Sign in first." };
    },
  }),
);
app.get("/", (_request, response) => void response.send("my own page"));

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
});

// Saves what running uploads have received before the process exits.
process.once("SIGTERM", async () => {
  const gone = new Promise((resolve) => server.close(resolve));
  await fixity.close();
  await gone;
  await store[Symbol.asyncDispose]();
});
