/** The examples with users, as programs of their own: what each user can do, see and not see. */
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Example, startExample } from "../helpers/example.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

const PROVIDER = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PUBLIC_PEM = PROVIDER.publicKey.export({ type: "spki", format: "pem" }).toString();

let root = "";
before(async () => void (root = await mkdtemp(join(tmpdir(), "fixity-examples-"))));

type Fields = Readonly<Record<string, string>>;

/** An example, and how its users identify themselves. */
interface App {
  readonly name: string;
  readonly program: string;
  readonly env?: Fields;
  signIn(example: Example, user: string): Promise<Fields>;
}

const APPS: readonly App[] = [
  { name: "Express with sessions", program: "express-sessions.ts", signIn },
  {
    name: "Fastify with JWT",
    program: "fastify-jwt.ts",
    env: { JWT_PUBLIC_KEY: PUBLIC_PEM },
    signIn: async (_example, user) => bearer(jwt({ claims: { sub: user } })),
  },
  {
    name: "Hono with permits",
    program: "hono-users.ts",
    async signIn(example, user) {
      const permit = await fetch(`${example.url}/permits`, { method: "POST", headers: await signIn(example, user) });
      return ((await permit.json()) as { headers: Fields }).headers;
    },
  },
  {
    name: "a route of Next",
    program: "../test/access/next-host.ts",
    env: { SESSIONS: JSON.stringify({ "session-of-ann": "ann", "session-of-bob": "bob" }) },
    signIn: async (_example, user) => ({ cookie: `session=session-of-${user}` }),
  },
];

/** Signs in by the example's own route, and returns the cookie. */
async function signIn(example: Example, name: string): Promise<{ readonly cookie: string }> {
  const body = JSON.stringify({ name, password: `${name}'s password` });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${example.url}/sign-in`, { method: "POST", body, headers });
  assert.equal(response.status, 204);
  return { cookie: response.headers.get("set-cookie")?.split(";")[0] ?? assert.fail("no cookie") };
}

function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}

interface Jwt {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly sign?: (text: string) => Buffer;
}

const CLAIMS = { sub: "ann", iss: "https://id.example.com", aud: "files.example.com" };

/** A JWT, written by hand so that it may be a wrong one. */
function jwt({ claims = {}, header = { alg: "ES256" }, sign: signature = es256(PROVIDER.privateKey) }: Jwt): string {
  const payload = { ...CLAIMS, exp: seconds() + 600, ...claims };
  const text = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${signature(text).toString("base64url")}`;
}

function es256(key: KeyObject): (text: string) => Buffer {
  return (text) => sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** Each program runs once for all tests. */
const running = new Map<string, Promise<Example>>();
after(async () => {
  for (const example of running.values()) await (await example)[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

async function startApp({ program, env }: Pick<App, "program" | "env">): Promise<Example> {
  const starting = running.get(program) ?? mkdtemp(join(root, "app-")).then((dir) => startExample(program, dir, env));
  running.set(program, starting);
  return starting;
}

const PROTOCOLS = {
  ietf: {
    creation: { "Upload-Complete": "?0", "Upload-Length": "6" },
    append: { "Upload-Complete": "?1", "Upload-Offset": "3", "Content-Type": "application/partial-upload" },
    always: {},
  },
  tus: {
    creation: { "Upload-Length": "6", "Content-Type": "application/offset+octet-stream" },
    append: { "Upload-Offset": "3", "Content-Type": "application/offset+octet-stream" },
    always: { "Tus-Resumable": "1.0.0" },
  },
} as const;
type Protocol = keyof typeof PROTOCOLS;

/** An upload of six bytes, of which three were sent. */
class OpenUpload {
  readonly #url: string;
  readonly #protocol: (typeof PROTOCOLS)[Protocol];

  private constructor(url: string, protocol: (typeof PROTOCOLS)[Protocol]) {
    this.#url = url;
    this.#protocol = protocol;
  }

  static async begin(example: Example, protocol: Protocol, user: Fields, bytes = "abc"): Promise<OpenUpload> {
    const { creation, always } = PROTOCOLS[protocol];
    const metadata = { "Upload-Metadata": `filename ${Buffer.from("a.txt").toString("base64")}` };
    const headers = { ...creation, ...(protocol === "tus" && metadata), ...always, ...user };
    const init = { method: "POST", body: bytes, headers };
    const created = await fetch(`${example.url}/uploads?filename=a.txt`, init);
    assert.equal(created.status, 201, await created.text());
    return new OpenUpload(new URL(created.headers.get("location") ?? "", example.url).href, PROTOCOLS[protocol]);
  }

  get path(): string {
    return new URL(this.#url).pathname;
  }

  async offset(user: Fields): Promise<number | string | null> {
    const response = await this.#send("HEAD", user);
    return response.ok ? response.headers.get("upload-offset") : response.status;
  }

  async complete(user: Fields, bytes = "def"): Promise<number> {
    return (await this.#send("PATCH", { ...this.#protocol.append, ...user }, bytes)).status;
  }

  async cancel(user: Fields): Promise<number> {
    return (await this.#send("DELETE", user)).status;
  }

  #send(method: string, headers: Fields, body?: string): Promise<Response> {
    const init = { method, headers: { ...this.#protocol.always, ...headers } };
    return fetch(this.#url, body === undefined ? init : { ...init, body });
  }
}

for (const app of APPS) {
  for (const protocol of ["ietf", "tus"] as const) {
    test(`${app.name}: a user neither sees, continues nor cancels the upload of another (${protocol})`, async () => {
      const example = await startApp(app);
      const ann = await app.signIn(example, "ann");
      const bob = await app.signIn(example, "bob");
      const upload = await OpenUpload.begin(example, protocol, ann);
      assert.deepEqual(
        [await upload.offset(bob), await upload.complete(bob), await upload.cancel(bob)],
        [404, 404, 404],
      );
      assert.deepEqual([await upload.offset({}), await upload.complete({}), await upload.cancel({})], [401, 401, 401]);
      assert.equal(await upload.offset(ann), "3");
      assert.equal(await upload.complete(ann), protocol === "tus" ? 204 : 201);
      const cancelled = await OpenUpload.begin(example, protocol, ann);
      assert.equal(await cancelled.cancel(ann), 204);
      assert.equal(await cancelled.offset(ann), 404);
    });
  }

  test(`${app.name}: nobody uploads without an account`, async () => {
    const example = await startApp(app);
    for (const method of ["POST", "PUT"]) {
      const path = method === "PUT" ? "/uploads/a.txt" : "/uploads";
      const response = await fetch(example.url + path, { method, body: "abc" });
      assert.equal(response.status, 401);
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
    }
  });
}

function put(example: Example, user: Fields, bytes: string | Buffer<ArrayBuffer>, name = "a.txt"): Promise<Response> {
  return fetch(`${example.url}/uploads/${name}`, { method: "PUT", body: bytes, headers: user });
}

async function urlOf(stored: Response): Promise<string> {
  assert.equal(stored.status, 201, await stored.clone().text());
  return ((await stored.json()) as { url: string }).url;
}

async function listed(example: Example, user: Fields): Promise<{ readonly key: string; readonly url: string }[]> {
  const response = await fetch(`${example.url}/files`, { headers: user });
  return (await response.json()) as { key: string; url: string }[];
}

describe("Express with sessions:", () => {
  const app = { program: "express-sessions.ts" };

  test("a file is read by its owner, and by others once it is shared", async () => {
    const example = await startApp(app);
    const [ann, bob] = [await signIn(example, "ann"), await signIn(example, "bob")];
    const url = await urlOf(await put(example, ann, "a letter to share"));
    const key = (await listed(example, ann)).find((file) => file.url === url)?.key;
    const read = async (user: Fields, query = "", method = "GET"): Promise<number> =>
      (await fetch(example.url + url + query, { method, headers: user })).status;
    assert.deepEqual([await read(ann), await read(bob), await read({})], [200, 404, 401]);
    assert.deepEqual(
      [await read(ann, "?view"), await read(bob, "?view"), await read(bob, "", "HEAD")],
      [200, 404, 404],
    );
    const share = `${example.url}/files/${key}/share`;
    assert.equal((await fetch(share, { method: "POST", headers: bob })).status, 404);
    assert.equal((await fetch(share, { method: "POST", headers: ann })).status, 204);
    const shared = await fetch(example.url + url, { headers: bob });
    assert.equal(await shared.text(), "a letter to share");
    assert.match(shared.headers.get("cache-control") ?? "", /private, no-cache/);
  });

  test("a file that a user does not have cannot be told from one that nobody has", async () => {
    const example = await startApp(app);
    const [ann, bob] = [await signIn(example, "ann"), await signIn(example, "bob")];
    const url = await urlOf(await put(example, ann, "a private letter"));
    const nowhere = url.replace(sha256("a private letter"), sha256("another"));
    const answers = await Promise.all(
      [url, nowhere].map(async (path) => (await fetch(example.url + path, { headers: bob })).text()),
    );
    assert.equal(answers[0], answers[1]);
  });

  test("who knows only the digest of another's file does not get it by claiming it", async () => {
    const example = await startApp(app);
    const [ann, bob] = [await signIn(example, "ann"), await signIn(example, "bob")];
    const url = await urlOf(await put(example, ann, "a letter"));
    const digest = hash("sha256", "a letter", "base64");
    await using claim = await RawClient.open(Number(new URL(example.url).port));
    await claim.send(
      `PUT ${url} HTTP/1.1\r\nHost: x\r\nCookie: ${bob.cookie}\r\nRepr-Digest: sha-256=:${digest}:\r\n` +
        `Content-Length: 8\r\nExpect: 100-continue\r\n\r\n`,
    );
    // it has to be sent
    assert.equal((await claim.answer()).status, 100);
    await claim.send("a guess!");
    assert.equal((await claim.answer()).status, 422);
    assert.equal((await fetch(example.url + url, { headers: bob })).status, 404);
    // who has the content has the file
    assert.equal(await urlOf(await put(example, bob, "a letter")), url);
    assert.equal((await fetch(example.url + url, { headers: bob })).status, 200);
  });

  test("a session that ends in the middle of an upload ends it there, and a new one continues it", async () => {
    const example = await startApp(app);
    const first = await signIn(example, "ann");
    const upload = await OpenUpload.begin(example, "ietf", first);
    await using running = await RawClient.open(Number(new URL(example.url).port));
    const fields = `Host: x\r\nCookie: ${first.cookie}\r\nUpload-Offset: 3\r\nUpload-Complete: ?0\r\nContent-Length: 2\r\n`;
    await running.send(
      `PATCH ${upload.path} HTTP/1.1\r\n${fields}Content-Type: application/partial-upload\r\nExpect: 100-continue\r\n\r\n`,
    );
    assert.equal((await running.answer()).status, 100);
    assert.equal((await fetch(`${example.url}/sign-out`, { method: "POST", headers: first })).status, 204);
    await running.send("de");
    assert.equal((await running.answer()).status, 204, "a running request finishes");
    assert.equal(await upload.offset(first), 401);
    const second = await signIn(example, "ann");
    assert.equal(await upload.offset(second), "5");
  });

  test("the plan of a user limits size and type on every route", async () => {
    const example = await startApp(app);
    const [ann, bob] = [await signIn(example, "ann"), await signIn(example, "bob")];
    const large = Buffer.alloc(1024 ** 2 + 1);
    assert.deepEqual([(await put(example, ann, large)).status, (await put(example, bob, large)).status], [201, 413]);
    const zip = [await put(example, ann, "zip", "a.zip"), await put(example, bob, "zip", "a.zip")];
    assert.deepEqual(zip.map(({ status }) => status), [201, 415]); // prettier-ignore
    const form = new FormData();
    form.set("file", new File([large], "a.txt"));
    assert.equal((await fetch(`${example.url}/uploads`, { method: "POST", body: form, headers: bob })).status, 413);
  });

  test("pages of other sites cannot use a session", async () => {
    const example = await startApp(app);
    const ann = await signIn(example, "ann");
    const before = (await listed(example, ann)).length;
    const form = new FormData();
    form.set("file", new File(["abc"], "a.txt"));
    for (const fields of [{ "sec-fetch-site": "cross-site" }, { origin: "https://evil.example" }]) {
      const headers = { ...ann, ...fields };
      const response = await fetch(`${example.url}/uploads`, { method: "POST", body: form, headers });
      assert.equal(((await response.json()) as { code: string }).code, "cross-site-request");
    }
    assert.equal((await listed(example, ann)).length, before);
  });
});

describe("Fastify with JWT:", () => {
  const app = { program: "fastify-jwt.ts", env: { JWT_PUBLIC_KEY: PUBLIC_PEM } };
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const hmac =
    (secret: string | Buffer) =>
    (text: string): Buffer =>
      createHmac("sha256", secret).update(text).digest();
  const der = PROVIDER.publicKey.export({ type: "spki", format: "der" });
  const jwk = other.publicKey.export({ format: "jwk" });

  const FORGERIES: Readonly<Record<string, string>> = {
    "without a signature (alg: none)": jwt({ header: { alg: "none" }, sign: () => Buffer.alloc(0) }),
    "with alg: None and the genuine signature": jwt({ header: { alg: "None" } }),
    "with HS256 and the public key as its secret": jwt({ header: { alg: "HS256" }, sign: hmac(PUBLIC_PEM) }),
    "with HS256 and the trimmed public key": jwt({ header: { alg: "HS256" }, sign: hmac(PUBLIC_PEM.trim()) }),
    "with HS256 and the public key in DER": jwt({ header: { alg: "HS256" }, sign: hmac(der) }),
    "with HS256 and an empty secret": jwt({ header: { alg: "HS256" }, sign: hmac("") }),
    "of another key": jwt({ sign: es256(other.privateKey) }),
    "of a key that it brings": jwt({ header: { alg: "ES256", jwk }, sign: es256(other.privateKey) }),
    "of another key, with RS256": jwt({
      header: { alg: "RS256" },
      sign: (text) => sign("sha256", Buffer.from(text), rsa.privateKey),
    }),
    "with a signature of zeros": jwt({ sign: () => Buffer.alloc(64) }),
    "for another audience": jwt({ claims: { aud: "mail.example.com" } }),
    "for no audience": jwt({ claims: { aud: undefined } }),
    "of another issuer": jwt({ claims: { iss: "https://id.example.org" } }),
    "that has expired": jwt({ claims: { exp: seconds() - 1 } }),
    "that never expires": jwt({ claims: { exp: undefined } }),
    "that is not valid yet": jwt({ claims: { nbf: seconds() + 600 } }),
    "for nobody": jwt({ claims: { sub: undefined } }),
    "with an extension that must be understood": jwt({ header: { alg: "ES256", crit: ["x"], x: 1 } }),
    "whose claims were changed": changed(jwt({ claims: { sub: "bob" } })),
    "that is none": "abc.def.ghi",
  };

  test("a genuine token uploads, and no forged one does", async () => {
    const example = await startApp(app);
    for (const [name, token] of Object.entries(FORGERIES)) {
      const response = await put(example, bearer(token), "forged");
      assert.equal(response.status, 401, `a token ${name}`);
      const upload = await OpenUpload.begin(example, "ietf", bearer(jwt({})));
      assert.equal(await upload.offset(bearer(token)), 401, `a token ${name}`);
    }
    assert.equal((await fetch(`${example.url}/uploads/${sha256("forged")}.txt`)).status, 404);
    const url = await urlOf(await put(example, bearer(jwt({})), "genuine"));
    assert.match(example.output, new RegExp(`ann has stored ${url}`));
  });

  test("a token that expires in the middle of an upload stops it, and the next one continues it", async () => {
    const example = await startApp(app);
    const token = bearer(jwt({ claims: { exp: seconds() + 3 } }));
    const upload = await OpenUpload.begin(example, "tus", token);
    const isKnown = async (): Promise<boolean> => {
      const me = (await (await fetch(`${example.url}/me`, { headers: token })).json()) as { user: string | null };
      return me.user !== null;
    };
    await until(async () => !(await isKnown()));
    assert.equal(await upload.complete(token), 401);
    const next = bearer(jwt({}));
    assert.equal(await upload.offset(next), "3");
    assert.equal(await upload.complete(next), 204);
  });

  test("a limit in the token holds up to the last byte", async () => {
    const example = await startApp(app);
    const ann = bearer(jwt({ claims: { max_size: 3 } }));
    assert.equal((await put(example, ann, "abc")).status, 201);
    const init = { method: "PUT", body: new Blob(["abcd"]).stream(), headers: ann, duplex: "half" as const };
    assert.equal((await fetch(`${example.url}/uploads/a.txt`, init)).status, 413);
  });
});

/** The same signature under other claims. */
function changed(token: string): string {
  const [header, claims = "", signature] = token.split(".");
  const read = JSON.parse(Buffer.from(claims, "base64url").toString()) as object;
  return [header, Buffer.from(JSON.stringify({ ...read, sub: "ann" })).toString("base64url"), signature].join(".");
}

test("Hono with permits: a user reads his files by signed links, and nobody without one", async () => {
  const [, , app] = APPS;
  const example = await startApp(app ?? assert.fail());
  const permit = (await app?.signIn(example, "ann")) ?? {};
  const url = await urlOf(await put(example, permit, "a letter"));
  assert.equal((await fetch(example.url + url)).status, 404);
  assert.equal((await put(example, permit, "x", "a.exe")).status, 415);
  assert.deepEqual(await listed(example, await signIn(example, "bob")), []);
  const file = (await listed(example, await signIn(example, "ann"))).find((one) => one.url.startsWith(url));
  const read = await fetch(example.url + file?.url);
  assert.equal(await read.text(), "a letter");
  assert.match(read.headers.get("cache-control") ?? "", /^private, max-age=/);
  assert.equal((await fetch(`${example.url}${file?.url}x`)).status, 404);
});

test("a route of Next answers every method that uploads and reads need", async () => {
  const [, , , app] = APPS;
  const example = await startApp(app ?? assert.fail());
  const ann = (await app?.signIn(example, "ann")) ?? {};
  const url = await urlOf(await put(example, ann, "a letter"));
  const status = async (method: string): Promise<number> => (await fetch(example.url + url, { method })).status;
  assert.deepEqual([await status("GET"), await status("HEAD"), await status("OPTIONS")], [200, 200, 204]);
  assert.equal((await fetch(example.url + url, { method: "DELETE", headers: ann })).status, 403);
  const large = Buffer.alloc(10 * 1024 ** 2 + 1);
  assert.equal((await put(example, ann, large)).status, 413);
  assert.match(example.output, /ann has stored/);
});
