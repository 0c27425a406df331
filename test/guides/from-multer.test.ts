/** docs/guides/from-multer.md: a real app with multer, its two steps to fixity, and its old files. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Example } from "../helpers/example.ts";
import { Guide } from "../helpers/guide.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

const OLD = Buffer.from("a picture from before");
const LARGE = Buffer.alloc(10 * 1024 ** 2 + 1, "x");
/** The app's database, as far as the guide needs one. */
const PHOTOS = `
const photos = {
  originalName: async () => "Beach.PNG",
  save: async (row) => console.log("saved " + JSON.stringify(row)),
};
`;

let guide: Guide;
before(async () => void (guide = await Guide.open("from-multer")));
after(() => guide[Symbol.asyncDispose]());

function formOf(files: Readonly<Record<string, Uint8Array>>, field = "photo"): FormData {
  const form = new FormData();
  form.append("album", "summer");
  for (const [name, bytes] of Object.entries(files)) form.append(field, new Blob([Buffer.from(bytes)]), name);
  return form;
}

async function post(app: Example, path: string, body: FormData) {
  const response = await fetch(app.url + path, { method: "POST", body });
  const text = await response.text();
  assert.match(text, /^{/);
  return { status: response.status, answer: JSON.parse(text) as Readonly<Record<string, string>> };
}

async function blobs(): Promise<readonly string[]> {
  const found = await readdir(join(guide.folder, "data/blobs"), { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map(({ name }) => name);
}

test("files, links and answers survive both steps of the migration from multer", async (t) => {
  let old = "";
  await t.test("the app with multer stores a file", async () => {
    await using app = await guide.start(guide.code("// before"));
    const { status, answer } = await post(app, "/photos", formOf({ "Beach.PNG": OLD }));
    assert.deepEqual([status, answer["album"]], [201, "summer"]);
    old = answer["file"] ?? "";
    assert.equal(await (await fetch(app.url + old)).text(), String(OLD));
  });

  await t.test("with another storage, the same request gets the same answer with a permanent link", async () => {
    await using app = await guide.start(guide.code("// the storage"));
    const { status, answer } = await post(app, "/photos", formOf({ "Übung.png": Buffer.from("new") }));
    assert.deepEqual([status, answer], [201, { file: `/uploads/${sha256("new")}.png`, album: "summer" }]);
    const read = await fetch(app.url + answer["file"]);
    assert.deepEqual([await read.text(), read.headers.get("content-type")], ["new", "image/png"]);
    const large = await post(app, "/photos", formOf({ "large.png": LARGE }));
    assert.deepEqual([large.status, large.answer["code"]], [413, "size-limit-exceeded"]);
    assert.equal((await fetch(`${app.url}/uploads`, { method: "POST", body: "x" })).status, 401);
    await assertCutUploadStoresNothing(app);
  });

  await t.test("old files are imported, and their old URLs lead to the links", async () => {
    const { code, err } = await guide.shell(guide.code("fixity import"));
    assert.equal(code, 0, err);
    assert.deepEqual((await blobs()).toSorted(), [sha256("new"), sha256(OLD)].toSorted());
    await using app = await guide.start(PHOTOS + guide.code("// the storage") + guide.code("// old URLs"));
    const redirected = await fetch(app.url + old);
    assert.equal(redirected.url, `${app.url}/uploads/${sha256(OLD)}.png`);
    assert.deepEqual([await redirected.text(), redirected.headers.get("content-type")], [String(OLD), "image/png"]);
    assert.equal((await fetch(`${app.url}/files/unknown`)).status, 404);
    assert.equal((await guide.shell(guide.code("fixity verify"))).code, 0);
  });

  await t.test("without multer, the app learns of the upload before the client, and errors have codes", async () => {
    await using app = await guide.start(PHOTOS + guide.code("// without multer"));
    const path = "/uploads?album=summer";
    const { status, answer } = await post(app, path, formOf({ "b.png": OLD }));
    assert.deepEqual([status, answer["url"], answer["name"]], [200, `/uploads/${sha256(OLD)}.png`, "b.png"]);
    await until(async () => /^saved .*\n/m.test(app.output));
    const saved = JSON.parse(/^saved (.*)$/m.exec(app.output)?.[1] ?? "{}") as Record<string, unknown>;
    assert.deepEqual([saved["url"], saved["album"]], [answer["url"], "summer"]);
    for (const [form, code] of [
      [formOf({ "large.png": LARGE }), "413 size-limit-exceeded"],
      [formOf({ "a.png": OLD, "b.png": OLD }), "400 unexpected-file"],
      [formOf({ "a.png": OLD }, "other"), "400 unexpected-file"],
      [formOf({}), "400 missing-file"],
      [formOf({ "a.exe": OLD }), "415 type-not-allowed"],
    ] as const) {
      const refused = await post(app, path, form);
      assert.equal(`${refused.status} ${refused.answer["code"]}`, code);
    }
  });
});

/** A client that disconnects in the middle of its file. */
async function assertCutUploadStoresNothing(app: Example): Promise<void> {
  const before = await blobs();
  const staged = async (): Promise<number> => {
    const found = await readdir(join(guide.folder, "data/staging"), { recursive: true, withFileTypes: true });
    return found.filter((entry) => entry.isFile() && /^\d+$/.test(entry.name)).length;
  };
  {
    await using client = await RawClient.open(Number(new URL(app.url).port));
    const part = 'Content-Disposition: form-data; name="photo"; filename="cut.png"\r\nContent-Type: image/png\r\n\r\n';
    const head = "POST /photos HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n";
    await client.send(`${head}Content-Length: 9000000\r\n\r\n--b\r\n${part}${"x".repeat(3_000_000)}`);
    await until(async () => (await staged()) > 0);
  }
  await until(async () => (await staged()) === 0);
  assert.deepEqual(await blobs(), before);
}
