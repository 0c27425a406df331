import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "../core/digest.ts";
import type { DocumentStore } from "../core/document-store.ts";
import { memoryStore } from "../memory.ts";
import { AccessKeys } from "./access-keys.ts";
import { isExpiredRedemption, type PermitPrincipal, Permits, redemptionName } from "./permits.ts";
import { UPLOAD_ACTIONS } from "./principal.ts";

const KEY = "a key for tests a key for tests a key";
const OTHER_KEY = "another key for tests another key for tests";
const NOW = Date.UTC(2027, 0, 1);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DIGEST = Digest.parse(`sha256:${"ab".repeat(32)}`);

const keys = AccessKeys.parse([KEY], "permit");
const permits = new Permits(keys);

function principalOf(text: string, now: number = NOW): PermitPrincipal {
  const principal = permits.principalOf(text, now);
  assert(principal !== null && principal !== "expired");
  return principal;
}

/** A permit with any content, signed with the key. */
function forged(content: string | Uint8Array): string {
  const signed = `fxp1.${Buffer.from(content).toString("base64url")}`;
  return `${signed}.${keys.sign(signed).mac}`;
}

function payloadOf(text: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(text.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
}

test("a permit lets its bearer upload within its limits", () => {
  const minted = permits.mint(
    { digest: DIGEST, maxSize: 10, types: [" Image/*", ".docx"], name: "üser 7", expires: HOUR_MS, once: true },
    NOW,
  );
  const { permit, types, expires, ...facts } = minted;
  assert.deepEqual(facts, { digest: DIGEST, maxSize: 10, name: "üser 7", once: true });
  assert.deepEqual([types, expires.getTime()], [["image/*", ".docx"], NOW + HOUR_MS]);
  const principal = principalOf(permit);
  assert.deepEqual([principal.kind, principal.name, [...principal.may]], ["permit", "üser 7", [...UPLOAD_ACTIONS]]);
  assert.equal(principal.limits.digest?.hex, DIGEST.hex);
  assert.equal(String(principal.limits.types), "image/*, .docx");
  assert.deepEqual([principal.limits.maxSize, principal.limits.expires], [10, NOW + HOUR_MS]);
  assert.deepEqual([principal.permit.once, principal.permit.expires], [true, NOW + HOUR_MS]);
});

test("without a name, each permit is a principal of its own", () => {
  const [one, other] = [1, 2].map(() => permits.mint({ maxSize: 1, expires: HOUR_MS }, NOW));
  assert(one !== undefined && other !== undefined);
  assert.notEqual(one.name, other.name);
  const { name, permit, limits } = principalOf(one.permit);
  assert.deepEqual([name, permit.once], [`permit-${permit.id}`, false]);
  assert.equal(name, one.name);
  assert.deepEqual([one.digest, one.types, limits.digest, limits.types], [null, null, undefined, undefined]);
});

test("a permit is a bearer token, and expires at its second", () => {
  const { permit, expires } = permits.mint({ maxSize: 1, expires: new Date(NOW + 1500) }, NOW);
  assert.match(permit, /^[A-Za-z0-9\-._~+/]+=*$/);
  assert.equal(expires.getTime(), NOW + 2000);
  for (const [clock, isValid] of [
    [NOW - 60_000, true],
    [NOW + 1999, true],
    [NOW + 2000, false],
    [NOW + 60_000, false],
  ] as const) {
    assert.equal(permits.principalOf(permit, clock) === "expired", !isValid, `${clock - NOW} ms`);
  }
});

test("terms that make no permit are refused", () => {
  const expires = HOUR_MS;
  const refused = [
    { expires },
    { maxSize: -1, expires },
    { maxSize: 1.5, expires },
    { maxSize: Number.NaN, expires },
    { maxSize: 1, types: [], expires },
    { maxSize: 1, types: ["image"], expires },
    { maxSize: 1, types: Array.from({ length: 200 }, (_, index) => `application/a${index}`), expires },
    { maxSize: 1, name: "", expires },
    { maxSize: 1, name: " ", expires },
    { maxSize: 1, name: "a\nb", expires },
    { maxSize: 1, name: "\u{202e}b", expires },
    { maxSize: 1, name: "\ud800", expires },
    { maxSize: 1, name: "a".repeat(129), expires },
    { maxSize: 1, expires: 0 },
    { maxSize: 1, expires: -1 },
    { maxSize: 1, expires: Number.NaN },
    { maxSize: 1, expires: Infinity },
    { maxSize: 1, expires: new Date(NOW) },
    { maxSize: 1, expires: new Date(Number.NaN) },
    { maxSize: 1, expires: 366 * DAY_MS + 1 },
  ];
  for (const terms of refused) {
    assert.throws(() => permits.mint(terms, NOW), { code: "invalid-option" }, JSON.stringify(terms));
  }
  const longest = permits.mint({ maxSize: 0, name: "\u{10ffff}".repeat(64), expires: 366 * DAY_MS }, NOW);
  assert.equal(principalOf(longest.permit).name.length, 128);
});

test("what is minted verifies with its limits, whatever they are", () => {
  const terms = fc.record(
    {
      digest: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Digest.fromBytes(bytes) ?? DIGEST),
      maxSize: fc.maxSafeNat(),
      types: fc.array(fc.constantFrom("image/*", "text/plain", ".png"), { minLength: 1, maxLength: 5 }),
      name: fc.string({ minLength: 1, maxLength: 128, unit: fc.constantFrom("a", "é", "€", '"', "\\", "/", "=") }),
      once: fc.boolean(),
      expires: fc.integer({ min: 1, max: 366 * DAY_MS }),
    },
    { requiredKeys: ["maxSize", "expires"] },
  );
  fc.assert(
    fc.property(terms, (terms) => {
      const minted = permits.mint(terms, NOW);
      const { limits, permit, name } = principalOf(minted.permit);
      assert.deepEqual([limits.digest?.hex, limits.maxSize], [terms.digest?.hex, terms.maxSize]);
      assert.deepEqual([limits.types?.toJSON(), permit.once], [terms.types, terms.once ?? false]);
      assert.deepEqual([name, limits.expires], [minted.name, minted.expires.getTime()]);
    }),
  );
});

test("no mutation of a permit is a permit", () => {
  const { permit } = permits.mint({ maxSize: 10, name: "ann", once: true, expires: HOUR_MS }, NOW);
  const [version = "", content = "", mac = ""] = permit.split(".");
  const encoded = (change: object): string =>
    Buffer.from(JSON.stringify({ ...payloadOf(permit), ...change })).toString("base64url");
  const mutations = [
    // the whole
    "",
    `${permit} `,
    ` ${permit}`,
    `${permit}\n`,
    `${permit}=`,
    `${permit}.`,
    `${permit}.${mac}`,
    permit.toUpperCase(),
    permit.toLowerCase(),
    permit.slice(0, -1),
    permit.slice(1),
    permit.repeat(2),
    permit.replaceAll(".", "%2e"),
    permit.padEnd(2049, "A"),
    // parts
    `${version}.${content}`,
    `${version}.${content}.`,
    `${version}..${mac}`,
    `.${content}.${mac}`,
    `FXP1.${content}.${mac}`,
    `fxp2.${content}.${mac}`,
    `${version}.${mac}.${content}`,
    `${version}.${content}=.${mac}`,
    `${version}.${content}\u{200b}.${mac}`,
    `${version}.${content.slice(0, -1)}.${mac}`,
    `${version}.${content}A.${mac}`,
    `${version}.${content}.${mac.slice(0, -1)}`,
    `${version}.${content}.${mac}A`,
    `${version}.${content}.${"A".repeat(43)}`,
    `${version}.${content}.${Buffer.from(mac, "base64url").toString("hex")}`,
    // content
    `${version}.${encoded({ maxSize: 11 })}.${mac}`,
    `${version}.${encoded({ name: "bob" })}.${mac}`,
    `${version}.${encoded({ once: undefined })}.${mac}`,
    `${version}.${encoded({ expires: NOW / 1000 + 7200 })}.${mac}`,
    `${version}.${encoded({ key: "AAAAAA" })}.${mac}`,
    `${version}.${encoded({ id: "AAAAAAAAAAAA" })}.${mac}`,
    `${version}.${encoded({ digest: DIGEST.hex })}.${mac}`,
  ];
  for (const [index, mutation] of mutations.entries()) {
    assert.equal(permits.principalOf(mutation, NOW), null, `mutation ${index}: ${mutation}`);
  }
  for (const [index, character] of permit.split("").entries()) {
    for (const other of ["A", "B", "-", "_", ".", "0", "=", " "].filter((other) => other !== character)) {
      const mutation = permit.slice(0, index) + other + permit.slice(index + 1);
      assert.equal(permits.principalOf(mutation, NOW), null, mutation);
    }
  }
});

test("signed content that minting would not make is no permit", () => {
  const { permit } = permits.mint({ maxSize: 10, expires: HOUR_MS }, NOW);
  const payload = payloadOf(permit);
  const text = JSON.stringify(payload);
  principalOf(forged(text));
  const { id, ...withoutId } = payload;
  const contents = [
    ` ${text}`,
    `${text}\n`,
    text.replace(":", ": "),
    text.replace('"maxSize":10', '"maxSize":10.0'),
    text.replace('"maxSize":10', '"maxSize":1e1'),
    text.replace('"maxSize":10', '"maxSize":1,"maxSize":10'),
    text.replace("maxSize", "\\u006daxSize"),
    text.replace("}", ',"more":1}'),
    text.replace("{", '{"__proto__":{},'),
    JSON.stringify({ id, ...withoutId }),
    JSON.stringify(withoutId),
    ...[{ maxSize: "10" }, { maxSize: -1 }, { maxSize: undefined }, { digest: "ab" }, { types: "image/*" }].map(
      (change) => JSON.stringify({ ...payload, ...change }),
    ),
    ...[{ once: false }, { once: 1 }, { id: "a" }, { key: 1 }, { expires: null }, { expires: 1.5 }].map((change) =>
      JSON.stringify({ ...payload, ...change }),
    ),
    JSON.stringify({ maxSize: 10, types: ["image"], ...payload }),
    "[]",
    "null",
    "1",
    "{}",
    "",
    "[".repeat(1000),
  ];
  for (const content of contents) assert.equal(permits.principalOf(forged(content), NOW), null, content);
  assert.equal(permits.principalOf(forged(Buffer.concat([Buffer.from(text), Buffer.of(0xff)])), NOW), null);
  fc.assert(fc.property(fc.json(), (content) => permits.principalOf(forged(content), NOW) === null));
  fc.assert(fc.property(fc.string(), (text) => permits.principalOf(text, NOW) === null));
});

test("a permit stays valid while its key verifies, and is never a signature of another purpose", () => {
  const { permit } = permits.mint({ maxSize: 10, expires: HOUR_MS }, NOW);
  const verifiedBy = (texts: string[], purpose: "permit" | "link"): boolean =>
    new Permits(AccessKeys.parse(texts, purpose)).principalOf(permit, NOW) !== null;
  assert.ok(verifiedBy([OTHER_KEY, KEY], "permit"));
  assert.ok(!verifiedBy([OTHER_KEY], "permit"));
  assert.ok(!verifiedBy([KEY], "link"));
  // the link key under the permit key's id
  const signed = permit.slice(0, permit.lastIndexOf("."));
  const { mac } = AccessKeys.parse([KEY], "link").sign(signed);
  assert.equal(permits.principalOf(`${signed}.${mac}`, NOW), null);
});

test("a permit for one upload is redeemed once, and again if nothing was stored", async () => {
  const { documents } = memoryStore();
  const { permit } = principalOf(permits.mint({ maxSize: 10, once: true, expires: HOUR_MS }, NOW).permit);
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => permits.redeem(documents, permit)));
  const [redeemed, ...more] = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  assert(redeemed !== undefined && more.length === 0);
  for (const attempt of attempts) if (attempt.status === "rejected") assert.equal(attempt.reason.code, "permit-used");
  await redeemed.undo();
  await redeemed.undo();
  const again = await permits.redeem(documents, permit);
  // an undo that comes late does not undo another redemption
  await redeemed.undo();
  await assert.rejects(permits.redeem(documents, permit), { code: "permit-used" });
  await again.undo();
  const { permit: other } = principalOf(permits.mint({ maxSize: 10, once: true, expires: HOUR_MS }, NOW).permit);
  assert.notEqual(redemptionName(permit), redemptionName(other));
});

test("a store that cannot exclude a second use refuses permits for one upload", async () => {
  const { permit } = principalOf(permits.mint({ maxSize: 10, once: true, expires: HOUR_MS }, NOW).permit);
  await assert.rejects(permits.redeem(undefined, permit), { code: "store-misconfigured", message: /no documents/ });
  const { documents } = memoryStore();
  assert(documents !== undefined);
  const withCondition = (isConditional: () => boolean): DocumentStore => ({
    get isConditional() {
      return isConditional();
    },
    read: (name) => documents.read(name),
    write: (name, text, condition) => documents.write(name, text, condition),
    remove: (name, ifMatch) => documents.remove(name, ifMatch),
    list: (prefix) => documents.list(prefix),
  });
  await assert.rejects(
    permits.redeem(
      withCondition(() => false),
      permit,
    ),
    {
      code: "store-misconfigured",
      message: /conditional writes/,
    },
  );
  // a store that notices during the write
  let asked = 0;
  await assert.rejects(
    permits.redeem(
      withCondition(() => asked++ === 0),
      permit,
    ),
    { code: "store-misconfigured" },
  );
  await permits.redeem(documents, permit);
});

test("redemptions of permits that expired a day ago are collected, and no other documents", async () => {
  const { documents } = memoryStore();
  assert(documents !== undefined);
  const identity = (id: string, expires: number) => ({ id, once: true, expires });
  const now = Date.now();
  const kept = [identity("a", now + HOUR_MS), identity("b", now - HOUR_MS), identity("c", now - 23 * HOUR_MS)];
  const expired = [identity("d", now - 25 * HOUR_MS), identity("e", 1000)];
  for (const permit of [...kept, ...expired]) await permits.redeem(documents, permit);
  await documents.write("permits/other", "text");
  await documents.write("marks/0-other", "text");
  await permits.collectRedemptions(documents);
  const names = new Set<string>();
  for await (const { name } of documents.list("permits/")) names.add(name);
  assert.deepEqual(names, new Set([...kept.map(redemptionName), "permits/other"]));
  assert.ok((await documents.read("marks/0-other")) !== null);
  await assert.rejects(permits.collectRedemptions(documents, AbortSignal.abort(new Error("stop"))), /stop/);
});

test("the name of a redemption states its expiry, and nothing of the permit's id", () => {
  const name = redemptionName({ id: "abcdefghijkl", once: true, expires: 36_000 });
  assert.match(name, /^permits\/10-[0-9a-f]{64}$/);
  assert.deepEqual(
    [36_000 + DAY_MS - 1, 36_000 + DAY_MS].map((now) => isExpiredRedemption(name, now)),
    [false, true],
  );
  for (const other of ["permits/", "permits/10", "permits/10-ab", `marks/10-${"0".repeat(64)}`]) {
    assert.ok(!isExpiredRedemption(other, Infinity), other);
  }
});
