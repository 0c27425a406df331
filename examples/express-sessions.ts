// Users sign in, and have uploads, limits and files of their own. Others read what they share.
import { randomBytes } from "node:crypto";
import express, { type Request } from "express";
import session from "express-session";
import { createFixity, type Digest } from "fixity";
import { diskStore } from "fixity/disk";
import { expectContinue, nodeHandler } from "fixity/node";

interface User {
  readonly id: string;
  readonly plan: "free" | "paid";
}

declare module "express-session" {
  interface SessionData {
    user: User;
  }
}

/** The tables of the app's database, which keeps hashes of passwords. */
const passwords = new Map([
  ["ann", "ann's password"],
  ["bob", "bob's password"],
]);
const files = new Map<string, { owner: string; digest: string; url: string; isShared: boolean }>();

function mayRead(user: string, digest: Digest): boolean {
  const named = String(digest);
  return [...files.values()].some((file) => file.digest === named && (file.owner === user || file.isShared));
}

const store = diskStore({ root: process.env.UPLOAD_DIR ?? "./data" });
const fixity = createFixity<User | null>({
  store,
  // `principal` and `authorize` decide about each read. Every upload must send its bytes, so a digest
  // alone gives no access to a file.
  reads: "app",
  // Runs once more for an upload whose answer was lost, with the same key.
  async onStored({ digest, url }, { principal, key }) {
    const isShared = files.get(key)?.isShared ?? false;
    files.set(key, { owner: principal.name, digest: String(digest), url, isShared });
  },
});

const uploads = nodeHandler<User | null>(fixity, {
  context: (request) => (request as Request).session.user ?? null,
  principal: (user) => user && { name: user.id, limits: { maxOpen: 20 } },
  authorize({ action, principal, context: user, link }) {
    const isRead = action === "read" || action === "view" || action === "stat";
    if (isRead && link !== null && !mayRead(principal.name, link.digest)) return { deny: 404 };
    if (action === "create" && user?.plan === "free") return { maxSize: 1024 ** 2, types: ["image/*", "text/plain"] };
    return true;
  },
});

const app = express();
app.use(
  session({
    secret: process.env.SESSION_SECRET ?? randomBytes(32).toString("hex"),
    cookie: { httpOnly: true, sameSite: "lax", maxAge: 3_600_000 },
    resave: false,
    saveUninitialized: false,
  }),
);
// Before body parsers. Requests that pages of other sites send are refused: a cookie proves nothing there.
app.use(uploads);
app.use(express.json());

app.post("/sign-in", (request, response, next) => {
  const { name, password } = request.body as { name: string; password: string };
  if (passwords.get(name) !== password) return void response.status(401).end();
  // A new id: an attacker may have planted the old one (session fixation).
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = { id: name, plan: name === "bob" ? "free" : "paid" };
    response.status(204).end();
  });
});
app.post("/sign-out", (request, response) => request.session.destroy(() => response.status(204).end()));
app.get("/files", (request, response) => {
  const own = [...files].filter(([, { owner }]) => owner === request.session.user?.id);
  response.json(own.map(([key, file]) => ({ key, ...file })));
});
app.post("/files/:key/share", (request, response) => {
  const file = files.get(request.params.key);
  if (file === undefined || file.owner !== request.session.user?.id) return void response.status(404).end();
  file.isShared = true;
  response.status(204).end();
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
});
expectContinue(server, uploads);

// Saves what running uploads have received before the process exits.
process.once("SIGTERM", async () => {
  const gone = new Promise((resolve) => server.close(resolve));
  await fixity.close();
  await gone;
  await store[Symbol.asyncDispose]();
});
