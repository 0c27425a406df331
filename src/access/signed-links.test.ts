import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cleanFileName } from "../core/file-name.ts";
import { Link } from "../core/link.ts";
import { AccessKeys } from "./access-keys.ts";
import { LinkSigner, roundedExpiry } from "./signed-links.ts";

const KEY = "a key for tests a key for tests a key";
const OTHER_KEY = "another key for tests another key for tests";
const NOW = Date.UTC(2027, 0, 1);
const HOUR_MS = 3_600_000;
const LINK = Link.parse(`${"ab".repeat(32)}.pdf`);

const keys = AccessKeys.parse([KEY], "link");
const signer = new LinkSigner(keys);
const expires = NOW + HOUR_MS;

test("a signed link states what it allows", () => {
  const plain = signer.sign(LINK, { expires });
  assert.match(plain, /^expires=\d{10}&key=[\w-]{6}&signature=[\w-]{43}$/);
  assert.deepEqual(signer.verify(LINK, plain, NOW), { expires, filename: null, download: false, view: false });
  const full = signer.sign(LINK, { expires, filename: "a b'ü.pdf", download: true, view: true });
  assert.match(full, /^download&filename=a%20b%27%C3%BC\.pdf&view&expires=\d{10}&key=[\w-]{6}&signature=[\w-]{43}$/);
  assert.deepEqual(signer.verify(LINK, full, NOW), { expires, filename: "a b'ü.pdf", download: true, view: true });
});

test("the query of a link stays the same in every version", () => {
  assert.equal(
    signer.sign(LINK, { expires, filename: "a.pdf" }),
    "filename=a.pdf&expires=1798765200&key=krWBck&signature=xOUQ7K6kWCNqgobSeK3rU6F6yL4NZ2yPAgn9C1ZNOOE",
  );
});

test("a link expires at its second", () => {
  const query = signer.sign(LINK, { expires: NOW + 1500 });
  for (const [clock, isValid] of [
    [NOW - 60_000, true],
    [NOW + 1999, true],
    [NOW + 2000, false],
    [NOW + 60_000, false],
  ] as const) {
    assert.equal(signer.verify(LINK, query, clock) === "expired", !isValid, `${clock - NOW} ms`);
  }
  // a signature that was never valid has not expired
  assert.equal(signer.verify(LINK, query.replace("expires=1", "expires=0"), NOW), "invalid");
});

test("a name is signed as uploads keep it, and one without visible characters is refused", () => {
  const query = signer.sign(LINK, { expires, filename: "../\u202ea\n.pdf" });
  assert.match(query, /^filename=a\.pdf&/);
  for (const filename of ["", " ", "..", "a/", "\u200b"]) {
    assert.throws(() => signer.sign(LINK, { expires, filename }), { code: "invalid-option" }, filename);
  }
  const longest = "\u{ffff}".repeat(255);
  const verified = signer.verify(
    LINK,
    signer.sign(LINK, { expires, filename: longest, download: true, view: true }),
    NOW,
  );
  assert.equal(typeof verified === "string" ? verified : verified.filename, longest);
});

test("an expiry that is no time is refused", () => {
  for (const expires of [Number.NaN, Infinity, -2000, 1e14]) {
    assert.throws(() => signer.sign(LINK, { expires }), { code: "invalid-option" }, String(expires));
  }
});

test("what is signed verifies, whatever it allows, for its link only", () => {
  const terms = fc.record({
    filename: fc.option(fc.string({ minLength: 1, maxLength: 300, unit: "binary" }).map(cleanFileName), { nil: null }),
    download: fc.boolean(),
    view: fc.boolean(),
    expires: fc.integer({ min: NOW + 1, max: NOW + 1e12 }),
  });
  const extension = fc.constantFrom("pdf", "png", "a", null);
  fc.assert(
    fc.property(terms, extension, extension, (terms, extension, other) => {
      const link = Link.to(LINK.digest, extension);
      const query = signer.sign(link, terms);
      const expected = { ...terms, expires: Math.ceil(terms.expires / 1000) * 1000 };
      assert.deepEqual(signer.verify(link, query, NOW), expected);
      if (other !== extension) assert.equal(signer.verify(Link.to(LINK.digest, other), query, NOW), "invalid");
    }),
  );
});

test("a signature is valid for one digest and one extension", () => {
  const query = signer.sign(LINK, { expires });
  const others = ["ab".repeat(32), `${"ab".repeat(32)}.png`, `${"ab".repeat(32)}.pd`, `${"ab".repeat(31)}ac.pdf`];
  for (const other of others) assert.equal(signer.verify(Link.parse(other), query, NOW), "invalid", other);
  // the extension's case is not part of a link
  assert.notEqual(signer.verify(Link.parse(`${"ab".repeat(32)}.PDF`), query, NOW), "invalid");
});

test("no mutation of a query is valid", () => {
  const query = signer.sign(LINK, { expires, filename: "a b.pdf", download: true, view: true });
  const [download, filename, view, expiry = "", key = "", signature = ""] = query.split("&");
  const mac = signature.slice("signature=".length);
  const mutations = [
    // the whole
    "",
    `?${query}`,
    `${query}&`,
    `&${query}`,
    `${query}=`,
    `${query} `,
    `${query}\n`,
    `${query}#`,
    query.slice(0, -1),
    query.replaceAll("&", ";"),
    query.replaceAll("&", "&amp;"),
    query.toUpperCase(),
    `${query}&${"a".repeat(3072)}`,
    // parameters that are missing, unknown, given twice or in another order
    [filename, view, expiry, key, signature].join("&"),
    [download, view, expiry, key, signature].join("&"),
    [download, filename, expiry, key, signature].join("&"),
    [download, filename, view, key, signature].join("&"),
    [download, filename, view, expiry, signature].join("&"),
    [download, filename, view, expiry, key].join("&"),
    [filename, download, view, expiry, key, signature].join("&"),
    [download, view, filename, expiry, key, signature].join("&"),
    [download, filename, view, key, expiry, signature].join("&"),
    [signature, download, filename, view, expiry, key].join("&"),
    `${query}&download`,
    `${query}&a=1`,
    `${query}&${signature}`,
    [download, download, filename, view, expiry, key, signature].join("&"),
    [download, filename, filename, view, expiry, key, signature].join("&"),
    [download, filename, view, expiry, "expires=9999999999", key, signature].join("&"),
    // values and their spelling
    query.replace("download&", "download=&"),
    query.replace("download&", "Download&"),
    query.replace("download&", "%64ownload&"),
    query.replace("view&", "view=1&"),
    query.replace("filename=a%20b.pdf", "filename=b.pdf"),
    query.replace("a%20b.pdf", "a+b.pdf"),
    query.replace("a%20b.pdf", "a b.pdf"),
    query.replace("a%20b.pdf", "a%20b%2Epdf"),
    query.replace("a%20b.pdf", "%61%20b.pdf"),
    query.replace("a%20b.pdf", "a%20b.PDF"),
    query.replace("a%20b.pdf", "a%20b.pdf%00"),
    query.replace("a%20b.pdf", "a%E9b.pdf"),
    query.replace("a%20b.pdf", "a%2"),
    query.replace("a%20b.pdf", ""),
    query.replace(expiry, `expires=${Number(expiry.slice(8)) + 1}`),
    query.replace("expires=", "expires=0"),
    query.replace("expires=", "expires=+"),
    query.replace("expires=", "expires=%20"),
    query.replace(expiry, "expires=1e10"),
    query.replace(expiry, "expires="),
    query.replace(key, "key=AAAAAA"),
    query.replace(key, "key="),
    query.replace(mac, ""),
    query.replace(mac, "A".repeat(43)),
    query.replace(mac, `${mac}=`),
    query.replace(mac, `%${mac.charCodeAt(0).toString(16)}${mac.slice(1)}`),
  ];
  assert.ok(!mutations.includes(query));
  for (const [index, mutation] of mutations.entries()) {
    assert.equal(signer.verify(LINK, mutation, NOW), "invalid", `mutation ${index}: ${mutation}`);
  }
  for (const [index, character] of query.split("").entries()) {
    for (const other of ["A", "B", "-", "_", "0", "1", "&", "=", "%"].filter((other) => other !== character)) {
      const mutation = query.slice(0, index) + other + query.slice(index + 1);
      assert.equal(signer.verify(LINK, mutation, NOW), "invalid", mutation);
    }
  }
  fc.assert(fc.property(fc.webQueryParameters(), (query) => signer.verify(LINK, query, NOW) === "invalid"));
});

test("a signature made of names that look like parameters covers them as a name", () => {
  const query = signer.sign(LINK, { expires, filename: "a&view" });
  assert.match(query, /^filename=a%26view&expires/);
  assert.equal(signer.verify(LINK, query.replace("%26", "&"), NOW), "invalid");
});

test("a link stays valid while its key verifies, and is never a signature of another purpose", () => {
  const query = signer.sign(LINK, { expires });
  const verifiedBy = (texts: string[], purpose: "permit" | "link"): boolean =>
    new LinkSigner(AccessKeys.parse(texts, purpose)).verify(LINK, query, NOW) !== "invalid";
  assert.ok(verifiedBy([OTHER_KEY, KEY], "link"));
  assert.ok(!verifiedBy([OTHER_KEY], "link"));
  assert.ok(!verifiedBy([KEY], "permit"));
});

test("expiries are rounded up to a step of at most a quarter of the lifetime", () => {
  const [second, minute, day] = [1000, 60_000, 24 * HOUR_MS];
  for (const [lifetime, step] of [
    [500, second],
    [39 * second, second],
    [40 * second, 10 * second],
    [4 * minute, minute],
    [20 * minute, 5 * minute],
    [HOUR_MS, 15 * minute],
    [4 * HOUR_MS, HOUR_MS],
    [day, 6 * HOUR_MS],
    [4 * day, day],
    [400 * day, day],
  ] as const) {
    const start = Date.UTC(2027, 0, 1);
    assert.equal(roundedExpiry(lifetime, start), Math.ceil((start + lifetime) / step) * step);
    const expiry = roundedExpiry(lifetime, start);
    assert.equal(
      roundedExpiry(lifetime, expiry - lifetime - step + 1),
      expiry,
      `${lifetime} ms: one link within a step`,
    );
    assert.equal(roundedExpiry(lifetime, expiry - lifetime), expiry);
    assert.equal(roundedExpiry(lifetime, expiry - lifetime + 1), expiry + step);
  }
  fc.assert(
    fc.property(fc.integer({ min: 4000, max: 366 * day }), fc.integer({ min: NOW, max: 2 * NOW }), (lifetime, now) => {
      const lasts = roundedExpiry(lifetime, now) - now;
      assert.ok(lasts >= lifetime && lasts < lifetime * 1.25);
    }),
  );
});

test("a link that was verified before still expires, and is invalid once its key is gone", () => {
  const signer = new LinkSigner(AccessKeys.parse(["a key for links that is long enough!!"], "link"));
  const link = Link.parse(`${"ab".repeat(32)}.png`);
  const query = signer.sign(link, { expires: 100_000 });
  assert.equal(typeof signer.verify(link, query, 99_999), "object");
  assert.equal(typeof signer.verify(link, query, 99_999), "object");
  assert.equal(signer.verify(Link.parse("ab".repeat(32)), query, 99_999), "invalid");
  assert.equal(signer.verify(link, query, 100_000), "expired");
  signer.replaceKeys(["another key for links that is long enough"]);
  assert.equal(signer.verify(link, query, 99_999), "invalid");
});
