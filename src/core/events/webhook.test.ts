import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders, RequestListener, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { Webhook as Verifier } from "standardwebhooks";
import { listen } from "../../../test/helpers/listen.ts";
import { FixityError } from "../errors.ts";
import { newEvent } from "./event.ts";
import { Webhook } from "./webhook.ts";

const SECRET = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const NEXT_SECRET = `whsec_${Buffer.alloc(64, 2).toString("base64")}`;

const event = newEvent({
  type: "blob.removed",
  data: { digest: `sha256:${"a".repeat(64)}`, url: `/uploads/${"a".repeat(64)}`, size: 5 },
});

const NEVER = new AbortController().signal;

interface Received {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver that answers as `answer` does. */
async function receiver(answer: (response: ServerResponse) => void) {
  const received: Received[] = [];
  const listener: RequestListener = (request, response) => {
    void text(request).then((body) => {
      const { method, url, headers } = request;
      received.push({ method, url, headers, body });
      answer(response);
    });
  };
  const server = await listen(listener);
  return { received, url: server.url, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function verify({ headers, body }: Received, secret: string): unknown {
  return new Verifier(secret).verify(body, headers as Record<string, string>);
}

describe("a webhook", () => {
  test("an event is a POST that the library of Standard Webhooks verifies", async () => {
    await using server = await receiver((response) => response.writeHead(204).end());
    const webhook = new Webhook(`${server.url}/hooks?token=1`, SECRET);
    await webhook.deliver(event, NEVER);
    const [request] = server.received;
    assert.ok(request);
    assert.deepEqual([request.method, request.url], ["POST", "/hooks?token=1"]);
    assert.equal(request.headers["content-type"], "application/json");
    assert.equal(request.headers["webhook-id"], event.id);
    const { type, timestamp, data } = event;
    assert.deepEqual(verify(request, SECRET), { type, timestamp, data });
    assert.throws(() => verify(request, NEXT_SECRET));
    assert.throws(() => verify({ ...request, body: request.body.replace("5", "6") }, SECRET));
  });

  test("several secrets sign each event, and can be replaced", async () => {
    await using server = await receiver((response) => response.writeHead(200).end("ok"));
    const webhook = new Webhook(server.url, `${SECRET} ${NEXT_SECRET}`);
    await webhook.deliver(event, NEVER);
    webhook.replaceSecrets([NEXT_SECRET]);
    await webhook.deliver(event, NEVER);
    const [both, next] = server.received;
    assert.ok(both && next);
    for (const secret of [SECRET, NEXT_SECRET]) verify(both, secret);
    verify(next, NEXT_SECRET);
    assert.throws(() => verify(next, SECRET));
  });

  for (const [name, answer] of [
    ["500", (response) => response.writeHead(500).end("broken")],
    ["a redirect, which is not followed", (response) => response.writeHead(307, { Location: "/elsewhere" }).end()],
    ["404", (response) => response.writeHead(404).end()],
    ["a connection that is closed", (response) => void response.destroy()],
  ] as const satisfies readonly (readonly [string, (response: ServerResponse) => void])[]) {
    test(`${name} is a failed delivery`, async () => {
      await using server = await receiver(answer);
      await assert.rejects(Promise.resolve(new Webhook(server.url, SECRET).deliver(event, NEVER)));
      assert.deepEqual(
        server.received.map(({ url }) => url),
        ["/"],
      );
    });
  }

  test("the receiver can ask for a pause", async () => {
    for (const [status, fields, seconds] of [
      [429, { "Retry-After": "120" }, 120],
      [503, {}, undefined],
      [410, {}, 3600],
    ] as const) {
      await using server = await receiver((response) => response.writeHead(status, fields).end());
      const secretPath = `${server.url}/hooks?token=hidden`;
      const failure: unknown = await new Webhook(secretPath, SECRET).deliver(event, NEVER).catch((error) => error);
      assert.ok(failure instanceof FixityError);
      assert.equal(failure.code, "event-rejected");
      assert.equal(failure.retryAfterSeconds, seconds);
      assert.match(failure.message, new RegExp(String(status)));
      assert.doesNotMatch(failure.message, /hidden/);
    }
  });

  test("a receiver that never answers is given up when the time is over", async () => {
    await using server = await receiver(() => undefined);
    await assert.rejects(new Webhook(server.url, SECRET).deliver(event, AbortSignal.timeout(50)));
  });

  test("the body of a response is not read to its end if it is long", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = await receiver((response) => {
      response.writeHead(200);
      void once(response, "close").then(() => closed.resolve());
      const write = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        if (!response.destroyed) response.once("drain", write);
      };
      write();
    });
    await new Webhook(server.url, SECRET).deliver(event, AbortSignal.timeout(10_000));
    await closed.promise;
  });

  test("a response that breaks off after its 2xx counts as accepted", async () => {
    await using server = await receiver((response) => {
      response.writeHead(200, { "Content-Length": "100" });
      response.write("half", () => response.destroy());
    });
    await new Webhook(server.url, SECRET).deliver(event, NEVER);
  });

  test("no receiver listens: the failure has the error of the connection, without the path", async () => {
    const server = await listen(() => null);
    await server[Symbol.asyncDispose]();
    await assert.rejects(new Webhook(`${server.url}/?token=hidden`, SECRET).deliver(event, NEVER), (error: Error) => {
      assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /hidden/);
      return true;
    });
  });
});
