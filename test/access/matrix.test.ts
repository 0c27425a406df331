/**
 * Who may do what: every principal with every request on every resource, against a table that is
 * written by hand and shares no code with the implementation.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { memoryStore } from "../../src/memory.ts";
import { Service, sha256 } from "../helpers/service.ts";

const CI = "0123456789abcdef-ci";
const OTHER = "0123456789abcdef-other";
const OPS = "0123456789abcdef-ops";
const READER = "0123456789abcdef-reader";
const PERMIT_KEY = "a key for permits that is long enough";
const LINK_KEY = "a key for links that is long enough!!";

/** Whose credentials a request has. `alice` is a user of the app, found by its own header. */
const WHO = ["nobody", "wrong", "ci", "other", "ops", "reader", "permit", "alice"] as const;
type Who = (typeof WHO)[number];

const TOKENS = [`ci=${CI}`, `other=${OTHER}`, `ops=${OPS} may=create|remove|read`, `reader=${READER} may=read`];

interface Place extends AsyncDisposable {
  readonly service: Service;
  credentials(who: Who): Record<string, string>;
}

async function place(reads: "public" | "signed"): Promise<Place> {
  const service = await Service.start({
    store: memoryStore(),
    tokens: TOKENS,
    permitKeys: [PERMIT_KEY],
    linkKeys: [LINK_KEY],
    reads,
    context: ({ headers }) => headers["x-user"] ?? null,
    principal: (user) => (typeof user === "string" ? { name: user } : null),
    log: () => {},
  });
  const permit = service.fixity.permit({ maxSize: 1000, name: "partner", expires: 60_000 });
  const secrets = { wrong: "0123456789abcdef-wrong", ci: CI, other: OTHER, ops: OPS, reader: READER };
  return {
    service,
    credentials(who) {
      if (who === "nobody") return {};
      if (who === "alice") return { "X-User": "alice" };
      if (who === "permit") return permit.headers;
      return { Authorization: `Bearer ${secrets[who]}` };
    },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

interface Creation {
  readonly name: string;
  readonly request: (bytes: string) => {
    method: string;
    path: string;
    headers?: Record<string, string>;
    body: string | FormData;
  };
}

const CREATIONS: readonly Creation[] = [
  {
    name: "a form",
    request(bytes) {
      const form = new FormData();
      form.set("file", new File([bytes], "a.txt"));
      return { method: "POST", path: "/uploads", body: form };
    },
  },
  { name: "a plain POST", request: (body) => ({ method: "POST", path: "/uploads?filename=a.txt", body }) },
  { name: "a PUT to a name", request: (body) => ({ method: "PUT", path: "/uploads/a.txt", body }) },
  { name: "a PUT to a link", request: (body) => ({ method: "PUT", path: `/uploads/${sha256(body)}.txt`, body }) },
  {
    name: "an upload of the IETF draft",
    request: (body) => ({ method: "POST", path: "/uploads", body, headers: { "Upload-Complete": "?1" } }),
  },
  {
    name: "an upload of tus",
    request: (body) => ({
      method: "POST",
      path: "/uploads",
      body,
      headers: {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": String(body.length),
        "Content-Type": "application/offset+octet-stream",
      },
    }),
  },
];

/** Who may create uploads. */
const CREATORS: ReadonlySet<Who> = new Set<Who>(["ci", "other", "ops", "permit", "alice"]);

/** The status for those who may not: they could be somebody else, or are known and may not. */
function refusalOf(who: Who): number {
  return who === "nobody" || who === "wrong" ? 401 : 403;
}

for (const reads of ["public", "signed"] as const) {
  describe(`reads are ${reads}:`, () => {
    for (const who of WHO) {
      test(`${who} creates uploads on every route, or on none`, async () => {
        await using at = await place(reads);
        for (const { name, request } of CREATIONS) {
          const { method, path, headers, body } = request(`${who} by ${name}`);
          const response = await fetch(at.service.url + path, {
            method,
            body,
            headers: { ...headers, ...at.credentials(who) },
          });
          assert.equal(response.status, CREATORS.has(who) ? 201 : refusalOf(who), name);
          if (response.status === 401) assert.equal(response.headers.get("www-authenticate"), "Bearer", name);
        }
        assert.equal(await at.service.count(), CREATORS.has(who) ? CREATIONS.length : 0);
      });

      for (const protocol of ["ietf", "tus"] as const) {
        test(`${who} reaches ${protocol} uploads of its own only`, async () => {
          await using at = await place(reads);
          for (const owner of CREATORS) {
            const isOwner = owner === who;
            const status = (right: number): number => (isOwner ? right : CREATORS.has(who) ? 404 : refusalOf(who));
            const url = at.service.url + (await begin(at, owner, protocol));
            const call = async (method: string): Promise<number> => {
              const response = await fetch(url, {
                method,
                headers: { ...fieldsOf(protocol, method), ...at.credentials(who) },
                ...(method === "PATCH" && { body: "lo" }),
              });
              return response.status;
            };
            assert.equal(await call("HEAD"), status(protocol === "tus" ? 200 : 204), `HEAD of ${owner}`);
            assert.equal(await call("GET"), status(protocol === "tus" ? 204 : 204), `GET of ${owner}`);
            assert.equal(await call("PATCH"), status(204), `PATCH of ${owner}`);
            assert.equal(await call("DELETE"), status(204), `DELETE of ${owner}`);
            const left = await fetch(url, {
              method: "HEAD",
              headers: { ...fieldsOf(protocol, "HEAD"), ...at.credentials(owner) },
            });
            assert.equal(left.status, isOwner ? 404 : protocol === "tus" ? 200 : 204, `what is left of ${owner}`);
            assert.equal(left.headers.get("upload-offset"), isOwner ? null : "3");
          }
        });
      }

      test(`${who} reads, views, asks and removes as it may, and learns nothing else`, async () => {
        await using at = await place(reads);
        const { link } = await at.service.fixity.put(Buffer.from("read me"), { filename: "a.txt" });
        const stored = at.service.fixity.urlOf(link);
        const nowhere = `/uploads/${sha256("nothing")}.txt`;
        const mayRead = reads === "public" || who === "ops" || who === "reader" || who === "alice";
        // A link without a signature looks like one that leads nowhere; wrong credentials are wrong.
        const unread = who === "wrong" ? 401 : 404;
        for (const [method, query] of [
          ["GET", ""],
          ["HEAD", ""],
          ["GET", "?view"],
          ["GET", "?download"],
        ] as const) {
          const ask = (path: string): Promise<Response> =>
            fetch(at.service.url + path + query, { method, headers: at.credentials(who) });
          const response = await ask(stored);
          assert.equal(response.status, mayRead ? 200 : unread, `${method} ${query}`);
          const cacheControl = response.headers.get("cache-control") ?? "";
          if (reads === "signed") assert.match(cacheControl, /no-store|private, no-cache/, `${method} ${query}`);
          const missing = await ask(nowhere);
          assert.equal(missing.status, mayRead ? 404 : unread);
          if (!mayRead) assert.equal(await missing.text(), await response.text());
        }
        const remove = await fetch(at.service.url + stored, { method: "DELETE", headers: at.credentials(who) });
        assert.equal(remove.status, who === "ops" ? 204 : refusalOf(who));
        assert.equal(await at.service.count(), who === "ops" ? 0 : 1);
      });
    }
  });
}

function fieldsOf(protocol: "ietf" | "tus", method: string): Record<string, string> {
  const offset: Record<string, string> = method === "PATCH" ? { "Upload-Offset": "3" } : {};
  if (protocol === "tus") {
    return { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", ...offset };
  }
  if (method !== "PATCH") return {};
  return { "Upload-Complete": "?0", "Content-Type": "application/partial-upload", ...offset };
}

/** Begins an upload of five bytes and sends three. Returns its path. */
async function begin(at: Place, who: Who, protocol: "ietf" | "tus"): Promise<string> {
  const headers: Record<string, string> =
    protocol === "tus"
      ? { "Tus-Resumable": "1.0.0", "Upload-Length": "9", "Content-Type": "application/offset+octet-stream" }
      : { "Upload-Complete": "?0", "Upload-Length": "9" };
  const response = await fetch(`${at.service.url}/uploads`, {
    method: "POST",
    body: "hel",
    headers: { ...headers, ...at.credentials(who) },
  });
  assert.equal(response.status, 201);
  return response.headers.get("location") ?? "";
}
