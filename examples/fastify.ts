import Fastify from "fastify";
import { createFixity } from "fixity";
import { diskStore } from "fixity/disk";
import { fixityPlugin } from "fixity/fastify";

const app = Fastify();
await app.register(fixityPlugin, {
  fixity: createFixity({ store: diskStore({ root: process.env.UPLOAD_DIR ?? "./data" }), prefix: "/files" }),
  cors: { origins: ["https://app.example.com"] },
  onAnswer: ({ method }, { status, note }) => console.error(method, status, note?.digest ?? ""),
});
app.get("/", async () => "my own page");
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" }));

// Closes the service, too, which saves what running uploads have received.
process.once("SIGTERM", () => void app.close());
