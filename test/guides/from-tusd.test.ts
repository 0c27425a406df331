/** docs/guides/from-tusd.md: a folder as tusd leaves it, its links behind a real nginx, and a client of tus. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { jsonLines } from "../helpers/command.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { Guide } from "../helpers/guide.ts";
import { listen } from "../helpers/listen.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const ID = "f0e0c2b51f5d372b1bba76268111447f";
const UNFINISHED = "b7517c42a6e1b81ca752584bed69553d";
const TOKEN = "a-token-of-the-client";
const NAMES = { filename: "Beach.PNG", filetype: "image/png" };

/** What tusd 2.9 leaves of two uploads of 5 and 9 bytes, of which 5 bytes each have arrived. */
async function writeTusdFolder(folder: string): Promise<void> {
  await mkdir(folder);
  for (const [ID_, Size] of [
    [ID, 5],
    [UNFINISHED, 9],
  ] as const) {
    const Path = join(folder, ID_);
    const rest = { SizeIsDeferred: false, Offset: 0, MetaData: NAMES, IsPartial: false, IsFinal: false };
    const Storage = { InfoPath: `${Path}.info`, Path, Type: "filestore" };
    await writeFile(Path, "hello");
    await writeFile(`${Path}.info`, JSON.stringify({ ID: ID_, Size, ...rest, PartialUploads: null, Storage }));
  }
}

describe("the migration from tusd", needing("nginx"), () => {
  test("finished uploads keep their links, others stay with tusd, and clients upload to another endpoint", async () => {
    await using guide = await Guide.open("from-tusd");
    const dir = join(guide.folder, "data");
    await writeTusdFolder(join(guide.folder, "tusd"));
    const places = { "/srv/fixity": dir, "/srv/tusd": join(guide.folder, "tusd") };
    const imported = await guide.shell(guide.code("--tus /srv/tusd", places) + guide.code("> tusd-links.map"));
    assert.equal(imported.code, 0, imported.err);
    const report = await guide.shell("cat imported.jsonl; mkdir links; mv tusd-links.map links");
    const lines = jsonLines(report.out).map(({ status, file }) => `${String(status)} ${String(file)}`);
    assert.deepEqual(new Set(lines), new Set([`imported ${ID}`, `skipped ${UNFINISHED}`, "done undefined"]));

    await using tusd = await listen((request, response) => response.end(`tusd: ${request.method} ${request.url}`));
    const env = { UPLOAD_TOKENS: `client=${TOKEN}` };
    await using server = await ServerProcess.start({ dir, env });
    await using front = await FrontServer.nginxWith(guide.code("map $uri $tus_id"), {
      "/etc/nginx/links": join(guide.folder, "links"),
      "http://127.0.0.1:1080": tusd.url,
      "http://127.0.0.1:3000": server.url,
    });
    for (const id of [ID, `${ID}+multipart-id`]) {
      const read = await fetch(`${front.url}/files/${id}`);
      assert.equal(read.url, `${front.url}/uploads/${sha256("hello")}.png`);
      assert.deepEqual([await read.text(), read.headers.get("content-type")], ["hello", "image/png"]);
    }
    const asked = await fetch(`${front.url}/files/${ID}`, { headers: { "Tus-Resumable": "1.0.0" } });
    assert.equal(await asked.text(), `tusd: GET /files/${ID}`);
    assert.equal(await (await fetch(`${front.url}/files/${UNFINISHED}`)).text(), `tusd: GET /files/${UNFINISHED}`);

    const client = guide.code("// the client", { "https://files.example.com/uploads": `${front.url}/uploads` });
    const given = `
      import * as tus from "tus-js-client";
      const file = Object.assign(Buffer.from("uploaded"), { name: "a.txt", type: "text/plain" });
      const [token, show] = ["${TOKEN}", console.log];
    `;
    await writeFile(join(guide.folder, "client.ts"), given + client);
    const { code, out, err } = await guide.shell(`'${process.execPath}' client.ts`);
    assert.deepEqual([code, out.trim()], [0, `/uploads/${sha256("uploaded")}.txt`], err);
    assert.equal(await (await fetch(front.url + out.trim())).text(), "uploaded");
  });
});
