import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity, Digest, Link } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";

const KEY = "a key for tests a key for tests a key";
const OTHER_KEY = "another key for tests another key for tests";
const HOUR_MS = 3_600_000;
const LINK = Link.parse(`${"ab".repeat(32)}.pdf`);

function service(options: { publicUrl?: string; permitKeys?: string[]; linkKeys?: string[] }) {
  return createFixity({ store: memoryStore(), ...options });
}

test("fixity.permit states how to use the permit, and all its limits", () => {
  const fixity = service({ publicUrl: "https://files.example.com/cdn/", permitKeys: [KEY] });
  const digest = Digest.fromHex("ab".repeat(32)) ?? undefined;
  const { permit, expires, ...facts } = fixity.permit({
    digest,
    maxSize: 9,
    name: "ann",
    expires: HOUR_MS,
    once: true,
  });
  assert.deepEqual(facts, {
    url: "https://files.example.com/cdn/uploads",
    method: "POST",
    headers: { Authorization: `Bearer ${permit}` },
    digest,
    maxSize: 9,
    types: null,
    name: "ann",
    once: true,
  });
  const principal = fixity.permits?.principalOf(permit);
  assert(typeof principal === "object" && principal !== null);
  assert.deepEqual([principal.name, principal.limits.expires], ["ann", expires.getTime()]);
  assert.equal(service({ permitKeys: [KEY] }).permit({ maxSize: 9, expires: HOUR_MS }).url, "/uploads");
});

test("fixity.sign makes a URL that verifies for its link until its time", () => {
  const fixity = service({ publicUrl: "https://files.example.com", linkKeys: [KEY] });
  const expires = new Date(Math.ceil(Date.now() / 1000) * 1000 + HOUR_MS);
  const url = new URL(fixity.sign(LINK, { expires, filename: "a b.pdf", download: true }));
  assert.equal(url.origin + url.pathname, `https://files.example.com/uploads/${LINK.toString()}`);
  assert.deepEqual(fixity.links?.verify(LINK, url.search.slice(1)), {
    expires: expires.getTime(),
    filename: "a b.pdf",
    download: true,
    view: false,
  });
  assert.ok(
    fixity.sign(LINK.digest, { expires: HOUR_MS }).startsWith(`${fixity.urlOf(Link.to(LINK.digest))}?expires=`),
  );
});

test("links that are signed for a duration expire at rounded times", () => {
  const fixity = service({ linkKeys: [KEY] });
  const seconds = Number(
    new URL(fixity.sign(LINK, { expires: HOUR_MS }), "http://localhost").searchParams.get("expires"),
  );
  assert.equal(seconds % (15 * 60), 0);
});

test("a service without keys neither mints nor signs", () => {
  const fixity = service({});
  assert.deepEqual([fixity.permits, fixity.links], [null, null]);
  assert.throws(() => fixity.permit({ maxSize: 1, expires: HOUR_MS }), {
    code: "invalid-option",
    message: /permitKeys/,
  });
  assert.throws(() => fixity.sign(LINK, { expires: HOUR_MS }), { code: "invalid-option", message: /linkKeys/ });
  for (const keys of [[], ["short"], [KEY, "short"]]) {
    assert.throws(() => service({ permitKeys: keys }), { code: "invalid-option" });
    assert.throws(() => service({ linkKeys: keys }), { code: "invalid-option" });
  }
});

test("a link expires in the future", () => {
  const fixity = service({ linkKeys: [KEY] });
  for (const expires of [0, -1, Number.NaN, Infinity, new Date(0), new Date(Date.now() - 1000), new Date(Number.NaN)]) {
    assert.throws(() => fixity.sign(LINK, { expires }), { code: "invalid-option" }, String(expires));
  }
});

test("keys can be replaced while the service runs, and a mistake keeps them", () => {
  const fixity = service({ permitKeys: [KEY], linkKeys: [KEY] });
  const { permit } = fixity.permit({ maxSize: 1, expires: HOUR_MS });
  const query = fixity.sign(LINK, { expires: HOUR_MS }).split("?")[1] ?? "";
  assert.throws(() => fixity.permits?.replaceKeys(["short"]), { code: "invalid-option" });
  assert.throws(() => fixity.links?.replaceKeys([]), { code: "invalid-option" });
  fixity.permits?.replaceKeys([OTHER_KEY, KEY]);
  fixity.links?.replaceKeys([OTHER_KEY, KEY]);
  assert.notEqual(fixity.permits?.principalOf(permit), null);
  assert.notEqual(fixity.links?.verify(LINK, query), "invalid");
  fixity.permits?.replaceKeys([OTHER_KEY]);
  fixity.links?.replaceKeys([OTHER_KEY]);
  assert.equal(fixity.permits?.principalOf(permit), null);
  assert.equal(fixity.links?.verify(LINK, query), "invalid");
});

test("a collection removes the redemptions of expired permits, if the service has keys for permits", async () => {
  const store = memoryStore();
  const { documents } = store;
  assert(documents !== undefined);
  const fixity = createFixity({ store, permitKeys: [KEY] });
  await fixity.permits?.redeem(documents, { id: "abcdefghijkl", once: true, expires: 1000 });
  await fixity.permits?.redeem(documents, { id: "abcdefghijkl", once: true, expires: Date.now() + HOUR_MS });
  const names = async (): Promise<number> => (await Array.fromAsync(documents.list("permits/"))).length;
  await createFixity({ store }).collect();
  assert.equal(await names(), 2);
  await fixity.collect();
  assert.equal(await names(), 1);
});
