import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../settings/config.ts";
import { accessWarnings, hostCheck, isLocalMode, isLocalOnly } from "./local-mode.ts";

const TOKENS = { UPLOAD_TOKENS: "ci=0123456789abcdef" };

/** The codes that requests for these hosts are refused with, or `passes`. */
function check(env: Record<string, string>, authority: string | undefined): string {
  return hostCheck(readConfig({ env }))({ authority })?.code ?? "passes";
}

for (const host of [
  "localhost",
  "localhost:3000",
  "LocalHost",
  "localhost.",
  "localhost.:3000",
  "app.localhost:3000",
  "a.b.localhost",
  "127.0.0.1",
  "127.0.0.1:3000",
  "127.0.0.1.",
  "127.1",
  "0x7f000001",
  "2130706433:3000",
  "0.0.0.0:3000",
  "10.1.2.3:3000",
  "203.0.113.7",
  "[::1]",
  "[::1]:3000",
  "[0:0:0:0:0:0:0:1]",
  "[::ffff:127.0.0.1]:3000",
  "[fe80::1]",
  undefined,
]) {
  test(`in local mode, Host ${host} passes without any setting`, () => assert.equal(check({}, host), "passes"));
}

for (const host of [
  "",
  ":3000",
  "rebind.example",
  "rebind.example:3000",
  "fixity",
  "fixity:3000",
  "localhost.example",
  "localhost.evil.example",
  "evil-localhost",
  ".localhost",
  "localhost..",
  "127.0.0.1.nip.io",
  "127.0.0.1..",
  "1.2.3.4.5",
  "localhost.localdomain",
  "host.docker.internal:3000",
  "a b",
  "localhost@evil.example",
  "evil.example/localhost",
  "[fe80::1%25eth0]",
  "x".repeat(16_000),
]) {
  test(`in local mode, Host ${host.slice(0, 40)} is refused`, () => assert.equal(check({}, host), "unknown-host"));
}

test("hosts of UPLOAD_HOSTS and of UPLOAD_PUBLIC_URL pass, at any port and in any case", () => {
  const env = {
    UPLOAD_HOSTS: "fixity, Dev.Example.com., b\u00fccher.example",
    UPLOAD_PUBLIC_URL: "https://files.example.com:8443/x",
  };
  for (const host of [
    "fixity",
    "FIXITY:80",
    "dev.example.com",
    "dev.example.com.",
    "xn--bcher-kva.example:1",
    "Files.Example.com",
    "files.example.com.:9",
  ]) {
    assert.equal(check(env, host), "passes", host);
  }
  for (const host of [
    "x.fixity",
    "example.com",
    "x.files.example.com",
    "files.example.com.evil.example",
    "dev.example.com..",
  ]) {
    assert.equal(check(env, host), "unknown-host", host);
  }
});

test("a refusal names the host and the setting that allows it", () => {
  const refusal = hostCheck({ hosts: undefined, publicUrl: undefined })({ authority: "Fixity:3000" });
  assert.match(refusal?.message ?? "", /UPLOAD_HOSTS=fixity /);
  assert.deepEqual(refusal?.facts, { host: "fixity" });
  assert.match(
    hostCheck({ hosts: undefined, publicUrl: undefined })({ authority: "" })?.message ?? "",
    /UPLOAD_HOSTS /,
  );
});

for (const [env, mode] of [
  [{}, "local, local only"],
  [{ UPLOAD_PUBLIC_URL: "http://localhost:3000" }, "local, local only"],
  [{ UPLOAD_PUBLIC_URL: "http://app.localhost" }, "local, local only"],
  [{ UPLOAD_PUBLIC_URL: "http://127.8.9.10:3000" }, "local, local only"],
  [{ UPLOAD_PUBLIC_URL: "http://[::1]:3000" }, "local, local only"],
  [{ UPLOAD_PUBLIC_URL: "http://192.168.1.2" }, "local"],
  [{ UPLOAD_PUBLIC_URL: "https://files.example.com" }, "local"],
  [{ UPLOAD_OPEN: "yes" }, ""],
  [TOKENS, ""],
  [{ UPLOAD_PERMIT_KEYS: "a key for tests a key for tests a key" }, ""],
] as const) {
  test(`${JSON.stringify(env)} is ${mode || "not local mode"}`, () => {
    const config = readConfig({ env });
    const found = [isLocalMode(config) && "local", isLocalOnly(config) && "local only"].filter(Boolean);
    assert.equal(found.join(", "), mode);
    assert.equal(accessWarnings(config).length, mode === "local" ? 1 : 0);
  });
}

test("a token without a name causes a warning", () => {
  const warnings = accessWarnings(readConfig({ env: { UPLOAD_TOKENS: "0123456789abcdef" } }));
  assert.match(warnings.join(), /^the token in entry 1 has no name/);
});

test("UPLOAD_HOSTS without a check of Host causes a warning", () => {
  const warnings = (env: Record<string, string>) =>
    accessWarnings(readConfig({ env: { UPLOAD_HOSTS: "fixity", ...env } }));
  assert.deepEqual(warnings({}), []);
  for (const env of [TOKENS, { UPLOAD_OPEN: "yes" }]) assert.match(warnings(env).join(), /^UPLOAD_HOSTS has no effect/);
});
