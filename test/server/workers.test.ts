/** A server of several processes. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { Random } from "../helpers/random.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { linkTo, ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { ask, begin, field, finalAnswer } from "../resumable/client.ts";
import { bytesRead, connections, startWorkers, workersOf } from "./workers.ts";

const KIB = 1024;
const TUS = { "Tus-Resumable": "1.0.0" };
const OCTETS = { "Content-Type": "application/offset+octet-stream" };
const APPEND = { "Content-Type": "application/partial-upload" };

/** Sends one request on an open connection. */
async function on(client: RawClient, ...[method, target, sent]: [string, string, Parameters<typeof begin>[3]?]) {
  await begin(client, method, target, sent);
  return await finalAnswer(client, method);
}

/** The connections to workers 1, 2 and 3. */
async function three(server: ServerProcess): Promise<[RawClient, RawClient, RawClient]> {
  const found = await connections(server);
  const [one, two, other] = [1, 2, 3].map((number) => found.get(number));
  return [one ?? assert.fail(), two ?? assert.fail(), other ?? assert.fail()];
}

describe("three workers", () => {
  test("store what arrives by every route, and each serves what another has stored", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const random = new Random(7);
    const contents = ROUTES.map((route) => ({ route, content: random.bytes(300 * KIB) }));
    await Promise.all(contents.map(({ route, content }) => uploadBy(route, server.port, content)));
    const clients = await connections(server);
    assert.deepEqual(Array.from(clients.keys()).toSorted(ascending), [1, 2, 3]);
    for (const client of clients.values()) {
      for (const { content } of contents) {
        const { status, body } = await on(client, "GET", linkTo(content));
        assert.equal(status, 200);
        assert.ok(body.equals(content));
      }
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  for (const protocol of ["IETF", "tus"] as const) {
    test(`share uploads (${protocol}): one creates, another one appends, a third one takes over`, async () => {
      await using folder = await StoreFolder.make();
      await using server = await startWorkers({ dir: folder.path });
      const [one, two, other] = await three(server);
      const content = new Random(8).bytes(600 * KIB);
      const isTus = protocol === "tus";
      const fields = isTus ? { ...TUS, "Upload-Length": String(content.length) } : { "Upload-Complete": "?0" };
      const at = field(await on(one, "POST", "/uploads", { fields }), "location");
      const append = (offset: number): Record<string, string> =>
        isTus
          ? { ...TUS, ...OCTETS, "Upload-Offset": String(offset) }
          : { ...APPEND, "Upload-Offset": String(offset), "Upload-Complete": "?1" };
      // An append that does not end.
      await begin(two, "PATCH", at, { fields: append(0), length: content.length });
      await two.send(content.subarray(0, content.length / 2));
      let status = 0;
      await until(async () => {
        const offset = Number(field(await on(other, "HEAD", at, { fields: TUS }), "upload-offset"));
        const rest = { fields: append(offset), body: content.subarray(offset) };
        ({ status } = await ask(server.port, "PATCH", at, rest));
        return status !== 409;
      });
      assert.equal(status, isTus ? 204 : 201);
      const { body } = await on(one, "GET", linkTo(content));
      assert.ok(body.equals(content));
      assert.equal(field(await on(one, "HEAD", at, { fields: TUS }), "upload-offset"), String(content.length));
      two.socket.destroy();
    });
  }

  test("count running requests, unfinished uploads and bytes of a principal together", async () => {
    await using folder = await StoreFolder.make();
    const tokens = [
      "requests=secret-of-requests max-requests=4",
      "uploads=secret-of-uploads max-open=4",
      "bytes=secret-of-the-bytes max-per-day=100000",
    ];
    await using server = await startWorkers({ dir: folder.path, env: { UPLOAD_TOKENS: tokens.join(",") } });
    const as = (secret: string): Record<string, string> => ({ Authorization: `Bearer ${secret}` });

    // Six uploads that do not end, on two connections to each worker.
    const held = [...(await three(server)), ...(await three(server))];
    const fields = as("secret-of-requests");
    const answers = await Promise.all(
      held.map(async (client) => {
        await begin(client, "POST", "/uploads", { fields: { ...fields, Expect: "100-continue" }, length: 10 });
        return (await client.answer()).status;
      }),
    );
    assert.deepEqual(answers.toSorted(ascending), [100, 100, 100, 100, 429, 429]);
    const ended = held.find((_, index) => answers[index] === 100);
    await ended?.send("0123456789");
    assert.equal((await ended?.answer())?.status, 201);
    await until(async () => (await ask(server.port, "POST", "/uploads", { fields, body: "again" })).status !== 429);
    for (const { socket } of held) socket.destroy();

    const created = await Promise.all(
      Array.from({ length: 8 }, () =>
        ask(server.port, "POST", "/uploads", { fields: { ...as("secret-of-uploads"), "Upload-Complete": "?0" } }),
      ),
    );
    assert.deepEqual(created.map(({ status }) => status).toSorted(ascending), [201, 201, 201, 201, 429, 429, 429, 429]);
    const first = created.find(({ status }) => status === 201);
    const at = field(first ?? assert.fail(), "location");
    assert.equal((await ask(server.port, "DELETE", at, { fields: as("secret-of-uploads") })).status, 204);
    const next = { fields: { ...as("secret-of-uploads"), "Upload-Complete": "?0" } };
    assert.equal((await ask(server.port, "POST", "/uploads", next)).status, 201);
    assert.equal((await ask(server.port, "POST", "/uploads", next)).status, 429);

    const sizes = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const body = Buffer.alloc(10_000, `${index}`.padStart(2, "0"));
        return (await ask(server.port, "POST", "/uploads", { fields: as("secret-of-the-bytes"), body })).status;
      }),
    );
    assert.deepEqual(sizes.toSorted(ascending), [...Array.from({ length: 10 }, () => 201), 429, 429]);
  });

  test("tell each other what was verified: a claim at one is answered by what another one has read", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const [one, two] = await three(server);
    const content = new Random(9).bytes(8_000_000);
    assert.equal((await ask(server.port, "POST", "/uploads", { body: content })).status, 201);
    assert.ok((await on(one, "GET", linkTo(content))).body.equals(content));
    const pid = workersOf(server).get(2) ?? assert.fail();
    const claim = { fields: { Expect: "100-continue" }, length: content.length };
    await until(async () => {
      const before = bytesRead(pid);
      const { status } = await on(two, "PUT", linkTo(content), claim);
      assert.equal(status, 200);
      return bytesRead(pid) - before < content.length;
    });
  });
});

describe("a worker that is killed", () => {
  test("costs only its own requests, and another one takes its place", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const before = workersOf(server);
    const clients = [...(await connections(server)), ...(await connections(server))];
    const contents = clients.map((_, index) => Buffer.alloc(2000, `${index}`));
    for (const [index, [, client]] of clients.entries()) {
      await begin(client, "POST", "/uploads", { fields: { Expect: "100-continue" }, length: 2000 });
      assert.equal((await client.answer()).status, 100);
      await client.send(contents[index]?.subarray(0, 1000) ?? "");
    }
    process.kill(before.get(2) ?? assert.fail(), "SIGKILL");
    for (const [index, [worker, client]] of clients.entries()) {
      if (worker === 2) {
        await client.closed();
        continue;
      }
      await client.send(contents[index]?.subarray(1000) ?? "");
      assert.equal((await client.answer()).status, 201);
    }
    await until(async () => (workersOf(server).get(2) ?? before.get(2)) !== before.get(2));
    const again = await connections(server);
    for (const [index, [worker]] of clients.entries()) {
      const { status } = await on(again.get(1) ?? assert.fail(), "GET", linkTo(contents[index] ?? assert.fail()));
      assert.equal(status, worker === 2 ? 404 : 200);
    }
    assert.match(server.output, /worker 2 ended unexpectedly \(SIGKILL\): another one starts/);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test("leaves no connection open that it was about to get", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const pid = workersOf(server).get(2) ?? assert.fail();
    // The connection that is passed to it stays on its way.
    process.kill(pid, "SIGSTOP");
    const clients = await Promise.all(Array.from({ length: 6 }, () => RawClient.open(server.port)));
    let answered = 0;
    const ends = clients.map(async (client) => {
      await begin(client, "GET", "/healthz");
      const status = await finalAnswer(client, "GET").then(
        (answer) => answer.status,
        () => null,
      );
      if (status !== null) answered += 1;
      return status;
    });
    await until(async () => answered === 5);
    process.kill(pid, "SIGKILL");
    const statuses = await Promise.all(ends);
    assert.equal(statuses.filter((status) => status === 200).length, 5);
    for (const { socket } of clients) socket.destroy();
  });

  test("again and again soon after its start ends the server with 2", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    let hasEnded = false;
    void server.exit.then(() => (hasEnded = true));
    await until(async () => {
      if (hasEnded) return true;
      for (const pid of workersOf(server).values()) process.kill(pid, "SIGKILL");
      return false;
    });
    assert.deepEqual(await server.exit, { code: 2, signal: null });
    assert.match(server.output, /workers ended soon after their start: the server stops/);
  });
});

describe("a server with workers", () => {
  test("leaves no process and no port behind when its primary is killed", async () => {
    await using folder = await StoreFolder.make();
    const server = await startWorkers({ dir: folder.path });
    const pids = Array.from(workersOf(server).values());
    assert.equal(pids.length, 3);
    await server.stop("SIGKILL");
    await until(async () => pids.every((pid) => !isRunning(pid)));
    await using next = await startWorkers({ dir: folder.path, env: { PORT: String(server.port) } });
    assert.equal((await ask(next.port, "POST", "/uploads", { body: "after" })).status, 201);
  });

  test("finishes running uploads of all workers when it is stopped", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const clients = await three(server);
    for (const client of clients) {
      await begin(client, "POST", "/uploads", { fields: { Expect: "100-continue" }, length: 10 });
      assert.equal((await client.answer()).status, 100);
    }
    const stopped = server.stop("SIGTERM");
    await until(async () => server.output.includes("stopping"));
    for (const [index, client] of clients.entries()) {
      await client.send(`01234${index}6789`);
      assert.equal((await client.answer()).status, 201);
    }
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });

  test("rotates tokens in all workers on SIGHUP", async () => {
    await using folder = await StoreFolder.make();
    const file = join(folder.path, "..", `tokens-${process.pid}`);
    await writeFile(file, "one=the-first-secret-of-one\n");
    await using server = await startWorkers({ dir: folder.path, env: { UPLOAD_TOKENS_FILE: file } });
    const clients = await three(server);
    await writeFile(file, "one=the-second-secret-of-one\n");
    process.kill(server.pid, "SIGHUP");
    await until(async () => server.output.split('"msg":"tokens and keys were read again"').length === 5);
    for (const [index, client] of clients.entries()) {
      const statuses = [];
      for (const secret of ["the-first-secret-of-one", "the-second-secret-of-one"]) {
        const fields = { Authorization: `Bearer ${secret}` };
        statuses.push((await on(client, "POST", "/uploads", { fields, body: `${index}` })).status);
      }
      assert.deepEqual(statuses, [401, 201]);
    }
  });

  test("restarts its workers without refusing or failing a request", async () => {
    await using folder = await StoreFolder.make();
    await using server = await startWorkers({ dir: folder.path });
    const before = Array.from(workersOf(server).values());
    const kept = await three(server);
    const done = new AbortController();
    const uploads = Array.from({ length: 4 }, async (_, index) => {
      let count = 0;
      for (; !done.signal.aborted; count += 1) {
        const body = `${index} ${count}`;
        assert.equal((await ask(server.port, "POST", "/uploads", { body })).status, 201);
      }
      return count;
    });
    process.kill(server.pid, "SIGUSR2");
    await until(async () => server.output.includes("restarting"));
    // Connections from before are answered once more by the worker that retires.
    await until(async () => server.output.includes("restarted"));
    for (const [index, client] of kept.entries()) {
      const answer = await on(client, "POST", "/uploads", { body: `kept ${index}` });
      assert.deepEqual([answer.status, answer.fields.get("connection")], [201, "close"]);
    }
    await until(async () => before.every((pid) => !isRunning(pid)));
    done.abort();
    const counts = await Promise.all(uploads);
    assert.ok(counts.every((count) => count > 0));
    assert.deepEqual(Array.from(workersOf(server).keys()).toSorted(ascending), [1, 2, 3]);
  });

  test("keeps its workers if new ones cannot start", async () => {
    await using folder = await StoreFolder.make();
    const file = join(folder.path, "..", `tokens-of-restart-${process.pid}`);
    await writeFile(file, "one=the-first-secret-of-one\n");
    await using server = await startWorkers({ dir: folder.path, env: { UPLOAD_TOKENS_FILE: file } });
    const before = workersOf(server);
    await writeFile(file, "one=short\n");
    process.kill(server.pid, "SIGUSR2");
    await until(async () => server.output.includes("the restart was stopped"));
    assert.match(server.output, /worker 1 cannot start: UPLOAD_TOKENS_FILE/);
    const fields = { Authorization: "Bearer the-first-secret-of-one" };
    assert.equal((await ask(server.port, "POST", "/uploads", { fields, body: "still" })).status, 201);
    assert.deepEqual(workersOf(server), before);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test("stops as usual while a worker ends that could not start", async () => {
    await using folder = await StoreFolder.make();
    const file = join(folder.path, "..", `tokens-of-stop-${process.pid}`);
    await writeFile(file, "one=the-first-secret-of-one\n");
    await using server = await startWorkers({ dir: folder.path, env: { UPLOAD_TOKENS_FILE: file } });
    await writeFile(file, "one=short\n");
    process.kill(server.pid, "SIGUSR2");
    await until(async () => server.output.includes("cannot start"));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test("reports once what keeps it from starting, and exits with 2", async () => {
    await using folder = await StoreFolder.make();
    await using other = await ServerProcess.start({ dir: folder.path });
    const env = { PORT: String(other.port), UPLOAD_DIR: folder.path, UPLOAD_WORKERS: "3" };
    const { code, out, err } = await runCommand(["serve"], { env, cwd: folder.path });
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /^fixity: Port \d+ on 127\.0\.0\.1 is taken\. [^\n]*\n$/);
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function ascending(one: number, other: number): number {
  return one - other;
}
