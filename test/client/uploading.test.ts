/** The client in Node against a server process on a folder: what can be uploaded, and what the client reports. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { createClient, FixityClientError, type UploadProgress } from "../../src/client/node.ts";
import { listen } from "../helpers/listen.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const TOKEN = "a-token-for-the-client";

let folder = "";
let server: ServerProcess;
let endpoint = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  const env = { UPLOAD_TOKENS: TOKEN, UPLOAD_MAX_SIZE: "16MiB" };
  server = await ServerProcess.start({ dir: join(folder, "data"), env });
  endpoint = `${server.url}/uploads`;
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const headers = { Authorization: `Bearer ${TOKEN}` };

async function stored(url: string): Promise<string> {
  return sha256(Buffer.from(await (await fetch(url)).arrayBuffer()));
}

function failsWith(code: string, facts: Partial<FixityClientError> = {}): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof FixityClientError, String(error));
    assert.equal(error.code, code, error.detail);
    for (const [name, value] of Object.entries(facts))
      assert.equal(error[name as keyof FixityClientError], value, name);
    return true;
  };
}

test("the result of a small file is the server's receipt", async () => {
  const client = createClient({ endpoint, headers });
  const bytes = randomBytes(100);
  const digest = sha256(bytes);
  const result = await client.upload(new File([bytes], "naïve 'report' (1)*.txt"));
  assert.deepEqual(result, {
    url: `${endpoint}/${digest}.txt`,
    digest: `sha256:${digest}`,
    size: 100,
    type: "text/plain; charset=utf-8",
    name: "naïve 'report' (1)*.txt",
    integrity: `sha256-${Buffer.from(digest, "hex").toString("base64")}`,
    existed: false,
    sent: 100,
  });
  assert.equal(await stored(result.url), digest);
  assert.equal((await client.upload(bytes)).existed, true);
});

for (const size of [0, 1, MIB, MIB + 1, 5 * MIB]) {
  const bytes = randomBytes(size);
  const sources = {
    bytes: () => bytes,
    "an ArrayBuffer": () => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + size),
    "a Blob": () => new Blob([bytes]),
    "a path": () => join(folder, `${size}.bin`),
    "a file: URL": () => pathToFileURL(join(folder, `${size}.bin`)),
    "a web stream": () => new Blob([bytes]).stream(),
    "a Node stream": () => createReadStream(join(folder, `${size}.bin`)),
  };
  for (const [name, source] of Object.entries(sources)) {
    test(`${size} bytes from ${name}`, async () => {
      await writeFile(join(folder, `${size}.bin`), bytes);
      const result = await createClient({ endpoint, headers }).upload(source(), { filename: "a.bin" });
      assert.equal(result.digest, `sha256:${sha256(bytes)}`);
      assert.equal(result.size, size);
      assert.equal(await stored(result.url), sha256(bytes));
    });
  }
}

test("uploadFile returns the permanent link", async () => {
  const { uploadFile } = createClient({ endpoint, headers });
  assert.equal(await uploadFile(new File(["a file"], "a.txt")), `${endpoint}/${sha256("a file")}.txt`);
  assert.equal(await uploadFile(new File(["a file"], "a.txt"), "b.md"), `${endpoint}/${sha256("a file")}.md`);
});

test("the media type gives the link an extension if the name has none", async () => {
  const client = createClient({ endpoint, headers });
  assert.match((await client.upload(new Blob(["a"], { type: "image/png" }))).url, /\.png$/);
  assert.match((await client.upload(Buffer.from("a"), { type: "image/gif", filename: "no extension" })).url, /\.gif$/);
});

test("a file of the type of a form is stored as it is", async () => {
  const client = createClient({ endpoint, headers });
  const { digest } = await client.upload(Buffer.from("no form"), { type: "multipart/form-data; boundary=x" });
  assert.equal(digest, `sha256:${sha256("no form")}`);
});

test("progress goes from 0 to the total, and ends with storing", async () => {
  const heard: UploadProgress[] = [];
  const bytes = randomBytes(8 * MIB);
  await createClient({ endpoint, headers }).upload(bytes, { onProgress: (progress) => heard.push(progress) });
  assert.deepEqual(heard[0], { phase: "sending", bytes: 0, total: 8 * MIB, rate: null, remaining: null, wait: null });
  assert.equal(heard.at(-1)?.phase, "storing");
  assert.equal(heard.at(-1)?.bytes, 8 * MIB);
  for (const [at, { bytes, phase }] of heard.entries()) {
    if (phase === "sending") assert.ok(bytes >= (heard[at - 1]?.bytes ?? 0));
  }
});

test("a refusal of the server is an error with its code", async () => {
  const file = Buffer.from("refused");
  const large = randomBytes(17 * MIB);
  const client = createClient({ endpoint, headers });
  await assert.rejects(
    createClient({ endpoint }).upload(file),
    failsWith("unauthorized", { status: 401, retryable: false }),
  );
  await assert.rejects(client.upload(large), failsWith("size-limit-exceeded", { status: 413, retryable: false }));
  await assert.rejects(client.upload(new Blob([large]).stream()), failsWith("size-limit-exceeded", { status: 413 }));
  const declare = `sha256:${"0".repeat(64)}`;
  await assert.rejects(client.upload(file, { declare }), failsWith("digest-mismatch", { status: 422 }));
});

test("the headers function is called for each request", async () => {
  let asked = 0;
  const client = createClient({
    endpoint,
    headers: async () => {
      asked += 1;
      return headers;
    },
  });
  await client.upload(randomBytes(2 * MIB));
  assert.ok(asked >= 2, `${asked}`);
});

test("an invalid source is refused before anything is sent", async () => {
  const client = createClient({ endpoint, headers });
  await mkdir(join(folder, "a folder"));
  for (const source of [join(folder, "not there"), join(folder, "a folder"), new URL("http://a/"), null, 7, {}]) {
    await assert.rejects(client.upload(source as string), failsWith("invalid-source"));
  }
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("a");
    throw new Error("broken");
  };
  await assert.rejects(client.upload(broken()), failsWith("invalid-source"));
  await assert.rejects(
    client.upload(
      (async function* () {
        yield "text" as unknown as Uint8Array;
      })(),
    ),
    failsWith("invalid-source"),
  );
  await assert.rejects(client.upload(Buffer.from("a"), { declare: "sha256:0" }), failsWith("invalid-option"));
});

test("invalid options are refused when the client is created", () => {
  const wrong = [
    { endpoint: "" },
    { endpoint: "http://" },
    { endpoint: "ftp://a/" },
    { endpoint, concurrency: 0 },
    { endpoint, retry: { attempts: -1 } },
  ];
  for (const options of wrong) assert.throws(() => createClient(options), failsWith("invalid-option"));
});

test("a client with a relative endpoint can be created without a page, and its requests fail", async () => {
  for (const relative of ["/uploads", "uploads", "//files.example/uploads"]) {
    const client = createClient({ endpoint: relative });
    const refused = failsWith("invalid-option", { retryable: false });
    await assert.rejects(client.upload(Buffer.from("a")), refused);
    await assert.rejects(client.stat(sha256("a")), refused);
    await assert.rejects(client.download(`sha256:${sha256("a")}`), /The endpoint "[^"]+" is relative, .* absolute URL/);
    client.close();
  }
});

test("another kind of server is recognised as such", async () => {
  const file = Buffer.from("a");
  const large = randomBytes(2 * MIB);
  for (const [status, code] of [
    [200, "unexpected-answer"],
    [201, "unexpected-answer"],
    [404, "not-found"],
    [405, "method-not-allowed"],
  ] as const) {
    await using site = await listen((request, response) => {
      request.resume();
      request.on("end", () => response.writeHead(status, { "Content-Type": "text/html" }).end("<h1>Hello</h1>"));
    });
    const client = createClient({ endpoint: `${site.url}/uploads`, retry: { attempts: 0 } });
    for (const source of [file, large]) {
      await assert.rejects(client.upload(source), failsWith(code, { status, retryable: false }));
    }
  }
  const elsewhere = createClient({ endpoint: `${server.url}/elsewhere`, headers });
  await assert.rejects(elsewhere.upload(file), failsWith("not-found", { status: 404 }));
  const closed = createClient({ endpoint: "http://127.0.0.1:1/uploads", retry: { attempts: 1, minDelay: 1 } });
  await assert.rejects(closed.upload(file), failsWith("network-error", { status: null, retryable: true }));
});

test("no more uploads run at the same time than concurrency allows", async () => {
  let running = 0;
  let most = 0;
  const counted: typeof fetch = async (...args) => {
    running += 1;
    most = Math.max(most, running);
    try {
      return await fetch(...args);
    } finally {
      running -= 1;
    }
  };
  const client = createClient({ endpoint, headers, concurrency: 2, fetch: counted });
  const results = await Promise.all(Array.from({ length: 8 }, (_, at) => client.upload(Buffer.from(`file ${at}`))));
  assert.equal(results.length, 8);
  assert.equal(most, 2);
});

test("closing the client ends everything that is running", async () => {
  const client = createClient({ endpoint, headers });
  const waiting = client.start(new ReadableStream());
  client.close();
  await assert.rejects(waiting.done, failsWith("aborted"));
});

test("a headers function that fails ends the call at once, with its own error", async () => {
  const cause = new Error("the token service is down");
  for (const fail of [
    () => {
      throw cause;
    },
    () => Promise.reject(cause),
  ]) {
    let calls = 0;
    const client = createClient({
      endpoint,
      headers: () => {
        calls += 1;
        return fail();
      },
    });
    const failed = failsWith("headers-failed", { cause, status: null, retryable: false });
    await assert.rejects(client.upload(randomBytes(100)), failed);
    await assert.rejects(client.upload(randomBytes(2 * MIB), { declare: false }), failed);
    await assert.rejects(client.download(sha256("a")), failed);
    await assert.rejects(client.stat(sha256("a")), failed);
    assert.equal(calls, 4, "nothing was tried again");
  }
});

test("header fields that HTTP does not allow are refused at once, and their values are not shown", async () => {
  for (const wrong of [{ Authorization: "Bearer\nsecret" }, { "a b": "secret" }, null] as const) {
    const client = createClient({ endpoint, headers: () => wrong as Record<string, string> });
    await assert.rejects(client.upload(Buffer.from("a")), (error: unknown) => {
      assert.ok(failsWith("invalid-option", { retryable: false })(error));
      return !/secret/.test((error as Error).message);
    });
  }
});
