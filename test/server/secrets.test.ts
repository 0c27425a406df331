import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const ONE = "s3cret-of-the-first-token";
const OTHER = "s3cret-of-the-second-token";
const KEY = "s3cret key for permits s3cret key for permits";
const OTHER_KEY = "s3cret key for permits that is another one";

/** A server whose secrets are in files, and a way to make it read them again. */
async function withFiles(
  { tokens, permitKeys }: { tokens: string; permitKeys?: string },
  work: (place: {
    server: ServerProcess;
    files: { tokens: string; permitKeys: string };
    upload: (token: string) => Promise<number>;
    reload: (logged: RegExp) => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  await using folder = await StoreFolder.make();
  const files = { tokens: `${folder.path}.tokens`, permitKeys: `${folder.path}.keys` };
  await writeFile(files.tokens, tokens);
  if (permitKeys !== undefined) await writeFile(files.permitKeys, permitKeys);
  await using server = await ServerProcess.start({
    dir: folder.path,
    env: {
      UPLOAD_TOKENS_FILE: files.tokens,
      ...(permitKeys !== undefined && { UPLOAD_PERMIT_KEYS_FILE: files.permitKeys }),
    },
  });
  await work({
    server,
    files,
    upload: async (token) => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${server.url}/uploads`, { method: "POST", body: "x", headers })).status;
    },
    reload: async (logged) => {
      const before = server.output.length;
      process.kill(server.pid, "SIGHUP");
      await until(async () => logged.test(server.output.slice(before)));
    },
  });
  assert.ok(!server.output.includes("s3cret"), server.output);
}

test("SIGHUP reads tokens and keys again, and logs their names", async () =>
  withFiles({ tokens: `one=${ONE}\n`, permitKeys: KEY }, async ({ files, upload, reload }) => {
    assert.deepEqual([await upload(ONE), await upload(OTHER)], [201, 401]);
    await writeFile(files.tokens, `other=${OTHER}\nonly-read=${ONE} may=read\n`);
    await writeFile(files.permitKeys, `${OTHER_KEY}\n${KEY}\n`);
    await reload(/"tokens":\["other","only-read"\],"permitKeys":\["[\w-]{6}","[\w-]{6}"\].*read again/);
    assert.equal((await upload(OTHER)) < 300, true);
    assert.equal(await upload(ONE), 403);
    await writeFile(files.tokens, `other=${OTHER}\n`);
    await reload(/read again/);
    assert.equal(await upload(ONE), 401);
  }));

test("a mistake in a file that is read again is logged, and the old tokens stay", async () =>
  withFiles({ tokens: `one=${ONE}\n` }, async ({ files, server, upload, reload }) => {
    for (const [text, mistake] of [
      [`one=${ONE}\nother=s3cret`, /UPLOAD_TOKENS_FILE: The secret of the token in entry 2/],
      [`one=${ONE} s3cret`, /The token one has an unknown attribute/],
      ["", /UPLOAD_TOKENS_FILE=.* contains nothing/],
    ] as const) {
      await writeFile(files.tokens, text);
      await reload(mistake);
      assert.equal((await upload(ONE)) < 300, true);
    }
    await rm(files.tokens);
    await reload(/Cannot read UPLOAD_TOKENS_FILE=/);
    assert.equal((await upload(ONE)) < 300, true);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }));

test("a token without a name causes a warning at the start and when it is read again", async () =>
  withFiles({ tokens: `one=${ONE}\n${OTHER}\n` }, async ({ server, reload, upload }) => {
    const warning = /"level":"warn".*"msg":"the token in entry 2 has no name.*deprecated/;
    assert.match(server.output, warning);
    await reload(warning);
    assert.equal(await upload(OTHER), 201);
  }));

test("keys for permits alone protect a server", async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({
    dir: folder.path,
    env: { UPLOAD_PERMIT_KEYS: KEY, HOST: "0.0.0.0" },
  });
  assert.equal((await fetch(`${server.url}/uploads`, { method: "POST", body: "x" })).status, 401);
  assert.ok(!server.output.includes("s3cret"), server.output);
});

test("a token removes files only if its entry says so", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_TOKENS: `one=${ONE}, other=${OTHER} may=create|remove` };
  await using server = await ServerProcess.start({ dir: folder.path, env });
  const ask = (token: string, method: string, url: string): Promise<Response> =>
    fetch(url, { method, headers: { authorization: `Bearer ${token}` }, ...(method === "POST" && { body: "x" }) });
  const { url } = (await (await ask(ONE, "POST", `${server.url}/uploads`)).json()) as { url: string };
  const link = new URL(url, server.url).href;
  assert.equal((await ask(ONE, "DELETE", link)).status, 403);
  assert.equal((await ask(OTHER, "DELETE", link)).status, 204);
});
