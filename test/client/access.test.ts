/** The client with tokens and permits that change, run out or belong to another user, and with signed links. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type ClientHeaders, createClient, type FixityClientError, type UploadStorage } from "../../src/client/node.ts";
import type { Link, PermitTerms, SignOptions } from "../../src/index.ts";
import { holdingAppend, untilAborted } from "../helpers/held-append.ts";
import { Service } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const TOKENS = [
  "ann=a-token-of-ann-in-tests",
  "ben=a-token-of-ben-in-tests",
  "day=a-token-for-one-mib-a-day max-per-day=1MiB",
];
const RETRY = { minDelay: 1, maxDelay: 20 };

let service: Service;
before(async () => {
  service = await Service.start({ tokens: TOKENS, permitKeys: ["a key for permits in these tests, only"] });
});
after(() => service[Symbol.asyncDispose]());

function bearer(token: string): { Authorization: string } {
  return { Authorization: `Bearer ${token}` };
}

function permit(terms: Partial<PermitTerms> = {}): { Authorization: string } {
  return bearer(service.fixity.permit({ maxSize: 64 * MIB, expires: HOUR_MS, ...terms }).permit);
}

interface PlaceOptions {
  readonly url?: string;
  readonly storage?: UploadStorage;
  /** Whether a request is not sent, and ends only when it is aborted. */
  readonly holds?: (request: string) => boolean;
  readonly fetch?: typeof fetch;
}

/** A client that records its requests, without ids. */
function clientWith(headers: ClientHeaders, options: PlaceOptions = {}) {
  const { url = service.url, storage = null, holds, fetch = globalThis.fetch } = options;
  const requests: string[] = [];
  const recorded: typeof fetch = (target, init) => {
    const path = new URL(target).pathname.replace(/[0-9a-f]{32,}.*/, "…");
    const request = `${init?.method} ${path}`;
    requests.push(request);
    return holds?.(request) === true ? untilAborted(init?.signal as AbortSignal) : fetch(target, init);
  };
  const client = createClient({ endpoint: `${url}/uploads`, headers, storage, retry: RETRY, fetch: recorded });
  return { client, requests };
}

/** A file whose bytes can be sent at once, but hashed only after `until`. */
class SlowlyHashed extends Blob {
  readonly #until: Promise<void>;

  constructor(bytes: Buffer<ArrayBuffer>, until: Promise<void>) {
    super([bytes]);
    this.#until = until;
  }

  override stream(): ReturnType<Blob["stream"]> {
    const waiting = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
    this.#until.then(() => super.stream().pipeTo(waiting.writable)).catch(() => null);
    return waiting.readable;
  }
}

test("a permit for one upload also stores content that turns out to be stored while it is sent", async () => {
  const bytes = randomBytes(8 * MIB);
  await service.fixity.put(bytes);
  const { promise: sending, resolve } = Promise.withResolvers<void>();
  // the first append stands still, until the lookup interrupts it
  const { client, requests } = clientWith(permit({ once: true }), {
    holds: (request) => {
      if (!request.startsWith("PATCH") || requests.includes("HEAD /uploads/…")) return false;
      resolve();
      return true;
    },
  });
  const { existed } = await client.upload(new SlowlyHashed(bytes, sending));
  assert.equal(existed, true);
  assert.deepEqual(requests.slice(0, 5), [
    "POST /uploads",
    "PATCH /uploads/in-progress/…",
    "HEAD /uploads/…",
    "POST /uploads", // with the digest; the permit refuses it
    "HEAD /uploads/in-progress/…",
  ]);
});

test("a permit that is renewed during an upload continues it, if it has the same name", async () => {
  const { client, requests } = clientWith(() => permit({ name: "ann" }));
  await client.upload(randomBytes(9 * MIB));
  assert.equal(requests.filter((request) => request.startsWith("POST")).length, 1);
});

test("an upload whose owner changes in the middle starts over, and so does one that another user has left", async () => {
  const entries = new Map<string, string>();
  const storage: UploadStorage = {
    get: (key) => entries.get(key) ?? null,
    set: (key, value) => void entries.set(key, value),
    remove: (key) => void entries.delete(key),
  };
  const bytes = randomBytes(20 * MIB);
  const file = { filename: "shared.bin", fingerprint: "the same file" };
  const { reached, fetch } = holdingAppend();
  const ann = clientWith(bearer("a-token-of-ann-in-tests"), { storage, fetch });
  const stopping = new AbortController();
  const stopped = ann.client.upload(bytes, { ...file, signal: stopping.signal });
  await reached;
  stopping.abort();
  await assert.rejects(stopped, { code: "aborted" });
  assert.equal(entries.size, 1);

  let token = "a-token-of-ben-in-tests";
  const ben = clientWith(() => bearer(token), { storage });
  const { existed } = await ben.client.upload(bytes, {
    ...file,
    onProgress: ({ bytes }) => {
      if (bytes > 0) token = "a-token-of-ann-in-tests";
    },
  });
  assert.equal(existed, false);
  assert.equal(ben.requests[0], "HEAD /uploads/in-progress/…");
  assert.ok(ben.requests.filter((request) => request.startsWith("POST")).length >= 1);
  assert.equal(entries.size, 0);
});

test("what credentials do not allow is an error of its own, and nothing is repeated", async () => {
  const once = permit({ once: true });
  await clientWith(once).client.upload(randomBytes(100));
  const cases = [
    [once, "a.txt", "permit-used", 403],
    [permit({ types: ["image/*"] }), "a.txt", "type-not-allowed", 415],
    [permit({ maxSize: 10 }), "a.txt", "size-limit-exceeded", 413],
    [bearer("no such token here"), "a.txt", "unauthorized", 401],
  ] as const;
  for (const [headers, filename, code, status] of cases) {
    for (const size of [100, 2 * MIB]) {
      const { client, requests } = clientWith(headers);
      await assert.rejects(client.upload(randomBytes(size), { filename }), (error: FixityClientError) => {
        assert.deepEqual([error.code, error.status, error.retryable], [code, status, false]);
        assert.match(error.detail, /\w.*\.$/);
        return true;
      });
      assert.equal(requests.filter((request) => request.startsWith("POST")).length, 1, `${code} ${size}`);
    }
  }
});

test("a limit that ends with the day is reported with its end, and not waited for", async () => {
  const { client } = clientWith(bearer("a-token-for-one-mib-a-day"));
  await client.upload(randomBytes(MIB));
  await assert.rejects(client.upload(randomBytes(1000)), (error: FixityClientError) => {
    assert.deepEqual([error.code, error.status, error.retryable], ["principal-limit-exceeded", 429, true]);
    return (error.retryAfter ?? 0) > 600_000;
  });
});

test("signed links are read as they are", async (t) => {
  await using place = await Service.start({ reads: "signed", linkKeys: ["a key for links in these tests, only"] });
  const { link } = await place.fixity.put(Buffer.from("a private text"), { filename: "a.txt" });
  const sign = (options: Partial<SignOptions> = {}, of: Link = link): string =>
    place.url + place.fixity.sign(of, { expires: HOUR_MS, ...options });
  const { client } = clientWith({}, { url: place.url });
  for (const url of [sign(), sign({ filename: "Ünïcode (1).txt", download: true })]) {
    assert.equal((await client.stat(url))?.size, 14);
    const { stream, url: read } = await client.download(url);
    assert.equal(await new Response(stream).text(), "a private text");
    assert.equal(read, url);
  }
  const changed = sign().replace(/expires=\d/, "expires=9");
  assert.equal(await client.stat(changed), null);
  await assert.rejects(client.download(changed), { code: "blob-not-found", status: 404 });
  await assert.rejects(client.download(sign({ view: true })), { code: "invalid-link" });
  const expired = sign({ expires: 1000 });
  const clock = Date.now();
  t.mock.method(Date, "now", () => clock + 5000);
  await assert.rejects(client.download(expired), { code: "link-expired", status: 403 });
  await assert.rejects(client.stat(expired), { code: "link-expired", status: 403 });
});
