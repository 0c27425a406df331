import { serve } from "@hono/node-server";
import { createFixity } from "fixity";
import { diskStore } from "fixity/disk";
import { fetchHandler } from "fixity/fetch";
import { Hono } from "hono";

const store = diskStore({ root: process.env.UPLOAD_DIR ?? "./data" });
const fixity = createFixity({ store });
const uploads = fetchHandler(fixity);
const app = new Hono();
app.all("/uploads/*", (context) => uploads(context.req.raw));
app.get("/", (context) => context.text("my own page"));
const server = serve(
  { fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" },
  ({ port }) => {
    console.log(`http://127.0.0.1:${port}`);
  },
);

// Saves what running uploads have received before the process exits.
process.once("SIGTERM", async () => {
  const gone = new Promise((resolve) => server.close(resolve));
  await fixity.close();
  await gone;
  await store[Symbol.asyncDispose]();
});
