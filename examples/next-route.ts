// A route of Next: save it as app/uploads/[[...path]]/route.ts.
import { createFixity, type Fixity } from "fixity";
import { diskStore } from "fixity/disk";
import { fetchHandler } from "fixity/fetch";

/** Sessions and their users. With Auth.js, `userOf` is `async () => (await auth())?.user?.id ?? null`. */
const sessions = new Map<string, string>(Object.entries(JSON.parse(process.env.SESSIONS ?? "{}")));

function userOf(request: Request): string | null {
  const id = /(?:^|; )session=([^;]*)/.exec(request.headers.get("cookie") ?? "")?.[1];
  return (id !== undefined && sessions.get(id)) || null;
}

// While Next develops, it evaluates this file again and again: the service must stay one.
const kept = globalThis as { fixity?: Fixity<string | null> };
kept.fixity ??= createFixity<string | null>({
  store: diskStore({ root: process.env.UPLOAD_DIR ?? "./data" }),
  onStored: ({ url }, { principal }) => console.log(`${principal.name} has stored ${url}`),
});

const handle = fetchHandler<string | null>(kept.fixity, {
  context: userOf,
  principal: (user) => (user === null ? null : { name: user, limits: { maxSize: 10 * 1024 ** 2 } }),
});

export const dynamic = "force-dynamic";
export {
  handle as DELETE,
  handle as GET,
  handle as HEAD,
  handle as OPTIONS,
  handle as PATCH,
  handle as POST,
  handle as PUT,
};
