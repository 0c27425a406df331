// Users sign in, upload with permits, and read by links that expire.
import { randomBytes } from "node:crypto";
import { serve } from "@hono/node-server";
import { createFixity, Link } from "fixity";
import { diskStore } from "fixity/disk";
import { fetchHandler } from "fixity/fetch";
import { Hono } from "hono";
import { getSignedCookie, setSignedCookie } from "hono/cookie";
import { createMiddleware } from "hono/factory";

const secret = process.env.SECRET ?? randomBytes(32).toString("hex");
const HOUR_MS = 3_600_000;

/** The tables of the app's database, which keeps hashes of passwords. */
const passwords = new Map([
  ["ann", "ann's password"],
  ["bob", "bob's password"],
]);
const files = new Map<string, { owner: string; link: string; name: string | null }>();

const store = diskStore({ root: process.env.UPLOAD_DIR ?? "./data" });
const fixity = createFixity({
  store,
  permitKeys: [secret],
  linkKeys: [secret],
  reads: "signed",
  onStored({ link, name }, { principal, key }) {
    files.set(key, { owner: principal.name, link: String(link), name });
  },
});
const uploads = fetchHandler(fixity);

const app = new Hono();
app.all("/uploads/*", (context) => uploads(context.req.raw));

app.post("/sign-in", async (context) => {
  const { name, password } = await context.req.json<{ name: string; password: string }>();
  if (passwords.get(name) !== password) return context.body(null, 401);
  await setSignedCookie(context, "user", name, secret, { httpOnly: true, sameSite: "Lax", maxAge: 3600 });
  return context.body(null, 204);
});

const signedIn = createMiddleware<{ Variables: { user: string } }>(async (context, next) => {
  const user = await getSignedCookie(context, secret, "user");
  if (typeof user !== "string") return context.body(null, 401);
  context.set("user", user);
  return next();
});
// The page of the app passes this to fixity/client, or sends the fields itself.
app.post("/permits", signedIn, (context) => {
  const name = context.get("user");
  return context.json(fixity.permit({ maxSize: 10 * 1024 ** 2, types: ["image/*", ".txt"], name, expires: HOUR_MS }));
});
app.get("/files", signedIn, (context) => {
  const own = [...files.values()].filter(({ owner }) => owner === context.get("user"));
  return context.json(
    own.map(({ link, name }) => ({ name, url: fixity.sign(Link.parse(link), { expires: HOUR_MS, download: true }) })),
  );
});

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
