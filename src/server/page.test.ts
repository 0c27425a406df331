import assert from "node:assert/strict";
import { test } from "node:test";
import Fastify, { type FastifyInstance } from "fastify";
import { fillPage, type PageFacts, pageFiles, servePage } from "./page.ts";

const FACTS: PageFacts = { uploads: "/uploads", maxSize: 1024, needsToken: false };

async function app(facts: PageFacts = FACTS): Promise<FastifyInstance> {
  const app = Fastify();
  servePage(app, await pageFiles(), facts);
  return app;
}

test("the page is told the path, the limit, and whether a token is needed", async () => {
  const { body, headers } = await (await app({ ...FACTS, needsToken: true })).inject("/");
  assert.match(headers["content-type"] ?? "", /^text\/html/);
  for (const part of ['action="/uploads"', 'data-max-size="1024"', "up to 1 KiB each", 'data-needs-token="true"'])
    assert.ok(body.includes(part), part);
  assert.ok(!body.includes("{{"));
});

test("what is filled in is text, whatever it is", () => {
  const uploads = `"><script>alert('x')</script>&amp;`;
  const filled = fillPage('<form action="{{uploads}}">{{unknown}}</form>', { ...FACTS, uploads });
  assert.equal(filled, '<form action="&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;&#38;amp;"></form>');
});

test("every file that the page names is there, with its type", async () => {
  const server = await app();
  const types = { "icon.svg": "image/svg+xml", "page.css": "text/css", "page.js": "text/javascript" };
  for (const [name, type] of Object.entries(types)) {
    const { statusCode, headers } = await server.inject(`/${name}`);
    assert.equal(statusCode, 200, name);
    assert.equal(headers["content-type"]?.split(";")[0], type, name);
  }
});

test("a page that the browser has is not sent again", async () => {
  const server = await app();
  const etag = (await server.inject("/")).headers.etag ?? "";
  for (const field of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const { statusCode, body, headers } = await server.inject({ url: "/", headers: { "if-none-match": field } });
    assert.deepEqual([statusCode, body, headers.etag], [304, "", etag], field);
  }
  const { statusCode } = await server.inject({ url: "/", headers: { "if-none-match": '"other"' } });
  assert.equal(statusCode, 200);
});

test("the page may load its own files and nothing else", async () => {
  const { headers } = await (await app()).inject("/");
  assert.match(
    String(headers["content-security-policy"]),
    /^default-src 'none'; script-src 'self'; style-src 'self'; /,
  );
});
