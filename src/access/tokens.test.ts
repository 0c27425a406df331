import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../core/errors.ts";
import { ALL_ACTIONS, type Principal, UPLOAD_ACTIONS } from "./principal.ts";
import { TokenSet } from "./tokens.ts";

const SECRET = "s3cret-0123456789";
const OTHER = "0ther-s3cret-0123456789";
const DAY_MS = 24 * 3_600_000;

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function only(entry: string, token: string = SECRET): Principal {
  const principal = TokenSet.parse([entry]).principalOf(token, 0);
  assert(principal !== null && principal !== "expired");
  return principal;
}

test("a token has a name, and may upload unless its entry says otherwise", () => {
  const { kind, name, may, limits } = only(`ci=${SECRET}`);
  assert.deepEqual({ kind, name, may: [...may] }, { kind: "token", name: "ci", may: [...UPLOAD_ACTIONS] });
  assert.ok(Object.values(limits).every((limit) => limit === undefined));
});

test("an entry states rights as groups, and limits", () => {
  const entry =
    `build-1=${SECRET} may=create|remove max-size=1GiB types=image/*|application/pdf|.docx max-open=20 ` +
    `max-requests=8\tmax-per-day=10GiB  until=2027-01-31`;
  const { may, limits } = only(entry);
  assert.deepEqual([...may], [...UPLOAD_ACTIONS, "remove"]);
  assert.deepEqual(JSON.parse(JSON.stringify(limits)), {
    maxSize: 1024 ** 3,
    types: ["image/*", "application/pdf", ".docx"],
    maxOpen: 20,
    maxRequests: 8,
    maxBytesPerDay: 10 * 1024 ** 3,
    expires: Date.UTC(2027, 1, 1),
  });
  assert.deepEqual([...only(`a=${SECRET} may=read`).may], ["read", "view", "stat"]);
  assert.deepEqual(new Set(only(`a=${SECRET} may=create|remove|read`).may), new Set(ALL_ACTIONS));
});

test("a secret may end in =, contain all characters of a bearer token, or be the SHA-256 of the token", () => {
  for (const secret of [`${SECRET}==`, "abcXYZ019-._~+/abc", "sha256-abcdefghijkl"]) {
    assert.equal(only(`ci=${secret}`, secret).name, "ci");
  }
  assert.equal(only(`ci=sha256:${sha256(SECRET)}`).name, "ci");
  assert.equal(only(`ci=sha256:${sha256(SECRET).toUpperCase()} max-open=1`).name, "ci");
  // the digest itself is not the token
  assert.equal(TokenSet.parse([`ci=sha256:${sha256(SECRET)}`]).principalOf(`sha256:${sha256(SECRET)}`), null);
});

test("an entry without a name keeps all rights, and is deprecated", () => {
  for (const token of [SECRET, "ABCDEFGHIJKLMNOPQRSTUV==", "ABCDEFGHIJKLMNOPQRSTU=", "0123456789abcdef0123456789="]) {
    const set = TokenSet.parse([token]);
    const principal = set.principalOf(token);
    assert(principal !== null && principal !== "expired", token);
    const name = `token-${sha256(token).slice(0, 8)}`;
    assert.deepEqual([principal.name, [...principal.may]], [name, [...ALL_ACTIONS]]);
    assert.equal(set.warnings.length, 1);
    assert.match(set.warnings[0] ?? "", new RegExp(`entry 1 has no name.*${name}`));
    assert.ok(!set.warnings[0]?.includes(token));
  }
  assert.deepEqual(TokenSet.parse([`ci=${SECRET}`]).warnings, []);
});

test("a name without a secret is refused, however it ends", () => {
  for (const entry of ["ci=", "ci==", "a-name-of-20-letters=", "====", "ci= may=create"]) {
    assert.throws(() => TokenSet.parse([entry]), { code: "invalid-option" }, entry);
  }
});

test("a token is valid until its last day has ended in UTC", () => {
  const set = TokenSet.parse([`ci=${SECRET} until=2028-02-29`]);
  const end = Date.UTC(2028, 2, 1);
  assert.equal((set.principalOf(SECRET, end - 1) as Principal).name, "ci");
  assert.equal(set.principalOf(SECRET, end), "expired");
  assert.equal(set.principalOf(SECRET, end + 100 * DAY_MS), "expired");
});

test("only the exact text of a token is a token", () => {
  const set = TokenSet.parse([`ci=${SECRET}`, `build=${OTHER}`, `old-${SECRET}`]);
  assert.deepEqual([set.size, set.names], [3, ["ci", "build", `token-${sha256(`old-${SECRET}`).slice(0, 8)}`]]);
  assert.equal((set.principalOf(OTHER) as Principal).name, "build");
  for (const text of [
    "",
    " ",
    "ci",
    SECRET.slice(1),
    `${SECRET}=`,
    ` ${SECRET}`,
    SECRET.toUpperCase(),
    `ci=${SECRET}`,
  ]) {
    assert.equal(set.principalOf(text), null, text);
  }
  fc.assert(fc.property(fc.string(), (text) => set.principalOf(text) === null));
});

test("two tokens with one name or one secret are refused", () => {
  const refused = [
    [`ci=${SECRET}`, `ci=${OTHER}`],
    [`a=${SECRET}`, `b=${SECRET} may=read`],
    [`a=${SECRET}`, `b=sha256:${sha256(SECRET)}`],
    [`a=${SECRET}`, SECRET],
    [SECRET, SECRET],
  ];
  for (const entries of refused) {
    assert.throws(() => TokenSet.parse(entries), { code: "invalid-option", message: /entries 1 and 2/ });
  }
});

test("a mistake is refused by the entry's position or name, and never with its secret", () => {
  const mistakes: readonly (readonly [entry: string, message: RegExp])[] = [
    ["", /entry 2/],
    ["short", /entry 2.*16 characters/],
    ["ci=short-s3cret", /entry 2.*16 characters/],
    [`CI=${SECRET}`, /entry 2 must begin with a name/],
    [`a-name-of-21-letters-=${SECRET}`, /entry 2 must begin/],
    [`=${SECRET}`, /entry 2 must begin/],
    [`${SECRET}-${SECRET}=ci`, /entry 2 must begin/],
    [`s3cret-s3cret-s3cret=ci`, /entry 2.*16 characters/],
    [`${SECRET} may=create`, /entry 2 must begin/],
    [`ci=${SECRET}=x`, /entry 2 may contain only/],
    [`ci=${SECRET}:x`, /entry 2 may contain only/],
    [`ci=${SECRET}é`, /entry 2 may contain only/],
    [`ci=sha256:${"0".repeat(63)}`, /entry 2 may contain only/],
    [`sha256:${"0".repeat(64)}`, /entry 2 may contain only/],
    [`ci=${SECRET} s3cret`, /token ci has an unknown attribute/],
    [`ci=${SECRET} s3cret=s3cret`, /token ci has an unknown attribute/],
    [`ci=${SECRET} __proto__=1`, /token ci has an unknown attribute/],
    [`ci=${SECRET} Max-Size=1`, /token ci has an unknown attribute/],
    [`ci=${SECRET} may=create may=read`, /ci has may twice/],
    [`ci=${SECRET} may=`, /may of the token ci must be some of create\|read\|remove/],
    [`ci=${SECRET} may=s3cret`, /may of the token ci/],
    [`ci=${SECRET} may=create|toString`, /may of the token ci/],
    [`ci=${SECRET} max-size=0`, /max-size of the token ci/],
    [`ci=${SECRET} max-size=s3cret`, /max-size of the token ci/],
    [`ci=${SECRET} max-per-day=-1`, /max-per-day of the token ci/],
    [`ci=${SECRET} types=`, /types of the token ci/],
    [`ci=${SECRET} types=image/*|`, /types of the token ci/],
    [`ci=${SECRET} max-open=0`, /max-open of the token ci/],
    [`ci=${SECRET} max-open=1.5`, /max-open of the token ci/],
    [`ci=${SECRET} max-requests=many`, /max-requests of the token ci/],
    [`ci=${SECRET} until=2027-02-29`, /until of the token ci/],
    [`ci=${SECRET} until=2027-1-31`, /until of the token ci/],
    [`ci=${SECRET} until=tomorrow`, /until of the token ci/],
  ];
  for (const [entry, message] of mistakes) {
    assert.throws(
      () => TokenSet.parse([`other=${OTHER}`, entry]),
      (error) => {
        assert(error instanceof FixityError);
        assert.equal(error.code, "invalid-option");
        assert.match(error.message, message, entry);
        assert.ok(!/s3cret/.test(error.message), error.message);
        return true;
      },
    );
  }
  assert.throws(() => TokenSet.parse([]), { code: "invalid-option" });
});
