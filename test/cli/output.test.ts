/** Output that cannot be written, links as people copy them, and servers that answer what no fixity does. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { someOf } from "../helpers/full-run.ts";
import { listen } from "../helpers/listen.ts";
import { needing } from "../helpers/requirements.ts";
import { sha256 } from "../helpers/service.ts";

const TEXT = "what is fetched";
const HEX = sha256(TEXT);
const LONG = "a line of a file\n".repeat(1000);
const FULL = /^fixity: cannot write to standard output: no space left on the disk$/m;

let place: ClientPlace;
before(async () => {
  place = await ClientPlace.start();
  await place.upload(TEXT, "a.txt");
  await place.upload(LONG, "long.txt");
});
beforeEach(async () => {
  await rm(place.folder, { recursive: true, force: true });
  await mkdir(place.folder);
});
after(async () => place[Symbol.asyncDispose]());

/** A shell that runs the command with a redirection, or behind other words. */
function shell(script: string): readonly string[] {
  return ["sh", "-c", script, "sh"];
}

test("output to a full disk is an error that says so, for every command", async () => {
  await place.file("a.txt", TEXT);
  const env = { UPLOAD_DIR: place.store.path };
  const commands = [
    ["put", "a.txt"],
    ["put", "--json", "a.txt"],
    ["put", "--quiet", "a.txt"],
    ["get", HEX],
    ["get", "--json", "--force", HEX],
    ["get", "-o", "-", HEX],
    ["stat", HEX],
    ["stat", "--json", HEX],
    ["gc"],
    ["gc", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["doctor"],
    ["--help"],
    ["put", "--help"],
    ["verify", "--help"],
    ["serve", "--help"],
    ["help", "get"],
    ["--version"],
  ];
  for (const args of someOf(commands, 8)) {
    const { code, err } = await place.run(args, { env, under: shell('"$@" > /dev/full') });
    assert.match(err, FULL, args.join(" "));
    assert.equal(err.match(/cannot write to/g)?.length, 1, args.join(" "));
    assert.equal(code, 2, args.join(" "));
  }
});

test("an output that accepts only the beginning is an error, too", needing("a mounted tmpfs"), async () => {
  const full = 'mount -t tmpfs -o size=4k tmpfs /mnt && "$@" > /mnt/out';
  const under = ["unshare", "--mount", ...shell(full)];
  const { code, err } = await place.run(["get", "-o", "-", sha256(LONG)], { under });
  assert.match(err, FULL);
  assert.equal(code, 2);
});

test("a reader that goes away ends the command with a message", async () => {
  const script = '{ "$@"; echo $? > code; } | head -c 1';
  await place.upload(LONG.repeat(500), "longer.txt");
  const cut = await place.run(["get", "-o", "-", sha256(LONG.repeat(500))], { under: shell(script) });
  assert.equal(cut.err, "fixity: cannot write to standard output: its reader is gone\n");
  assert.equal(await readFile(join(place.folder, "code"), "utf8"), "141\n");
});

test("a file that cannot be written is an error with the reason", needing("a mounted tmpfs"), async () => {
  await mkdir(join(place.folder, `${HEX}.txt`));
  const taken = await place.run(["get", place.url(HEX, ".txt")]);
  assert.deepEqual([taken.code, taken.out], [2, ""]);
  assert.match(taken.err, /exists and is not a file: choose another name with -o/);
  const readOnly = 'mount -t tmpfs -o ro tmpfs /mnt && "$@"';
  const { code, out, err } = await place.run(["get", HEX, "-o", "/mnt/a.txt"], {
    under: ["unshare", "--mount", ...shell(readOnly)],
  });
  assert.deepEqual([code, out], [2, ""]);
  assert.match(err, /"\/mnt\/a\.txt": the file system is read-only/);
  assert.deepEqual(await readdir(place.folder), [`${HEX}.txt`]);
});

test("a link may be copied from the address bar", async () => {
  const bare = new URL(place.server.url).host;
  for (const link of [
    place.url(HEX, ".txt?view"),
    place.url(HEX, ".txt?view&filename=b.txt#top"),
    place.url(HEX, ".txt?download"),
    place.url(HEX, ".txt#L1"),
    `${bare}/uploads/${HEX}.txt`,
    `${bare}/uploads/${HEX}.txt?view`,
  ]) {
    const { code, out, err } = await place.run(["get", "--force", link]);
    assert.equal(code, 0, `${link}: ${err}`);
    assert.equal(await readFile(join(place.folder, out.trim()), "utf8"), TEXT, link);
    assert.match((await place.run(["stat", link])).out, /^stored /, link);
  }
});

test("host and port are enough to name a service", async () => {
  const { host } = new URL(place.server.url);
  await place.file("a.txt", TEXT);
  const put = await place.run(["put", "--quiet", "--to", host, "a.txt"]);
  assert.deepEqual([put.code, put.out], [0, `http://${host}/uploads/${HEX}.txt\n`]);
  const stat = await place.run(["stat", HEX], { env: { FIXITY_URL: `${host}/uploads` } });
  assert.equal(stat.code, 0);
});

test("endless responses, and receipts of other files, are rejected", async () => {
  await place.file("a.txt", TEXT);
  const hex = sha256(TEXT);
  const receipt = { digest: `sha256:${hex}`, size: TEXT.length, type: "text/plain", integrity: "" };
  const absent = JSON.stringify({ code: "blob-not-found", detail: "x" });
  const chunk = Buffer.alloc(65_536, " ");
  const answers: Readonly<Record<string, RequestListener>> = {
    endless: (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    },
    ...Object.fromEntries(
      [
        "javascript:alert(1)",
        `javascript:alert(1)//${hex}`,
        `/uploads/${sha256("b")}`,
        "/uploads/",
        `ftp://a/${hex}`,
      ].map((url) => [url, (_, response) => void response.writeHead(201).end(JSON.stringify({ ...receipt, url }))]),
    ),
  };
  for (const [name, answer] of Object.entries(answers)) {
    await using server = await listen((request, response) => {
      request.resume();
      if (request.method === "POST") return answer(request, response);
      response.writeHead(404).end(request.method === "HEAD" ? undefined : absent);
    });
    const { code, out, err } = await place.run(["put", "a.txt", "--to", server.url]);
    assert.deepEqual([code, out], [2, ""], name);
    assert.match(err, /it is not a fixity service/, name);
  }
});
