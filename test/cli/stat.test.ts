import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { jsonLines } from "../helpers/command.ts";
import { sha256 } from "../helpers/service.ts";

const TEXT = "what is asked for";
const HEX = sha256(TEXT);
const NOTHING = "0".repeat(64);
let place: ClientPlace;

before(async () => {
  place = await ClientPlace.start();
  await place.upload(TEXT, "a.txt");
});

after(async () => place[Symbol.asyncDispose]());

test("a stored file is found by a link in any form", async () => {
  const links = [place.url(HEX, ".png"), `/uploads/${HEX}.txt`, `sha256:${HEX}`];
  const { code, out, err } = await place.run(["stat", ...links]);
  const types = ["image/png", "text/plain; charset=utf-8", "application/octet-stream"];
  assert.deepEqual([code, err], [0, ""]);
  assert.equal(out, types.map((type) => `stored   sha256:${HEX}  17 bytes, ${type}\n`).join(""));
});

test("a missing file is reported, and the exit code is 1", async () => {
  const { code, out, err } = await place.run(["stat", NOTHING, HEX]);
  assert.deepEqual([code, err], [1, ""]);
  assert.match(
    out,
    new RegExp(`^missing  sha256:${NOTHING}\nstored   sha256:${HEX}  17 bytes, application/octet-stream\n$`),
  );
});

test("--json prints one object per link, in their order", async () => {
  const links = [NOTHING, ...Array.from({ length: 20 }, (_, index) => place.url(HEX, `.x${index}`))];
  const { code, out } = await place.run(["stat", "--json", ...links]);
  assert.equal(code, 1);
  const [missing, ...stored] = jsonLines(out);
  assert.deepEqual(missing, { status: "missing", link: NOTHING, digest: `sha256:${NOTHING}` });
  assert.deepEqual(
    stored,
    links.slice(1).map((link) => ({
      status: "stored",
      link,
      url: link,
      digest: `sha256:${HEX}`,
      size: 17,
      type: "application/octet-stream",
      integrity: `sha256-${Buffer.from(HEX, "hex").toString("base64")}`,
    })),
  );
});

test("an invalid link is refused before any request, and an unreachable service is not a missing file", async () => {
  const wrong = await place.run(["stat", HEX, "readme.txt"]);
  assert.deepEqual([wrong.code, wrong.out], [2, ""]);
  assert.match(wrong.err, /^fixity: "readme\.txt" is neither a link nor a digest/);
  const nobody = await place.run(["stat", HEX, "http://127.0.0.1:1/uploads/" + HEX]);
  assert.equal(nobody.code, 2);
  assert.match(nobody.out, /^stored /);
  assert.match(nobody.err, /^fixity: http:\/\/127\.0\.0\.1:1\/\S+: http:\/\/127\.0\.0\.1:1 cannot be reached/);
});
