import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import { closestMatch, type Config, type ConfigSources, flagOf, readConfig } from "./config.ts";

const TOKEN = "0123456789abcdef";
const KEY = "a key for tests a key for tests a key";

/** The message with which a configuration is refused. */
function refusal(sources: ConfigSources): string {
  try {
    readConfig(sources);
  } catch (error) {
    assert.ok(error instanceof FixityError && error.code === "invalid-option", String(error));
    return error.message;
  }
  return assert.fail("the configuration was accepted");
}

test("every setting has a default or may be unset", () => {
  const expected: Partial<Config> = {
    host: "127.0.0.1",
    port: 3000,
    dir: "./data",
    maxSize: 5 * 1024 ** 3,
    tokens: null,
    permitKeys: null,
    linkKeys: null,
    areInFiles: false,
  };
  assert.partialDeepStrictEqual(readConfig({}), expected);
});

test("flags override environment variables, and these override defaults", () => {
  const env = { PORT: "4000", UPLOAD_MAX_SIZE: "1MiB" };
  const { port, maxSize, host } = readConfig({ env, flags: { port: "5000" } });
  assert.deepEqual([port, maxSize, host], [5000, 1024 ** 2, "127.0.0.1"]);
});

test("an empty variable counts as unset", () => {
  assert.equal(readConfig({ env: { PORT: "" } }).port, 3000);
});

for (const [given, meant] of [
  ["s3.example.com", "https://s3.example.com/"],
  ["minio:9000", "https://minio:9000/"],
  [" localhost:9000 ", "https://localhost:9000/"],
  ["10.0.0.1:9000", "https://10.0.0.1:9000/"],
  ["[::1]:9000", "https://[::1]:9000/"],
  ["s3.example.com/storage", "https://s3.example.com/storage"],
  ["http://minio:9000", "http://minio:9000/"],
  ["HTTPS://S3.example.com", "https://s3.example.com/"],
] as const) {
  test(`an S3 endpoint ${JSON.stringify(given)} means ${meant}`, () => {
    const env = { UPLOAD_BUCKET_NAME: "a", UPLOAD_BUCKET_ENDPOINT: given, UPLOAD_BUCKET_PUBLIC_ENDPOINT: given };
    const { bucketEndpoint, bucketPublicEndpoint } = readConfig({ env });
    assert.deepEqual([bucketEndpoint, bucketPublicEndpoint], [meant, meant]);
  });
}

test("hosts are read in the canonical form of browsers", () => {
  const env = { UPLOAD_HOSTS: " Fixity,files.example.com. ,b\u00fccher.example,127.1,[0::1],my_service" };
  assert.deepEqual(readConfig({ env }).hosts, [
    "fixity",
    "files.example.com",
    "xn--bcher-kva.example",
    "127.0.0.1",
    "[::1]",
    "my_service",
  ]);
});

const WRONG: readonly (readonly [env: Record<string, string>, message: RegExp])[] = [
  [{ UPLOAD_MAXSIZE: "1" }, /^Unknown setting UPLOAD_MAXSIZE\. Did you mean UPLOAD_MAX_SIZE\?$/],
  [{ UPLOAD_PORT: "8080" }, /^Unknown setting UPLOAD_PORT\. Did you mean PORT\?$/],
  [{ UPLOAD_HOST: "0.0.0.0" }, /^Unknown setting UPLOAD_HOST\. Did you mean HOST\?$/],
  [{ UPLOAD_COLOUR_SCHEME: "1" }, /^Unknown setting UPLOAD_COLOUR_SCHEME\.$/],
  [{ UPLOAD_MAX_SIZE: "5 gigs" }, /^UPLOAD_MAX_SIZE must be a size such as .*, not "5 gigs"\.$/],
  [{ UPLOAD_MAX_SIZE: "-1" }, /^UPLOAD_MAX_SIZE must be a size/],
  [{ UPLOAD_MAX_SIZE: "0" }, /^UPLOAD_MAX_SIZE must be a size/],
  [{ UPLOAD_IDLE_TIMEOUT: "60" }, /^UPLOAD_IDLE_TIMEOUT must be a duration such as .*, not "60"\.$/],
  [{ UPLOAD_IDLE_TIMEOUT: "0" }, /^UPLOAD_IDLE_TIMEOUT must be a duration/],
  // A timer with a longer delay would fire at once.
  [{ UPLOAD_SHUTDOWN_TIMEOUT: "25d" }, /^UPLOAD_SHUTDOWN_TIMEOUT must be a duration .* at most 24d, not "25d"\.$/],
  [{ UPLOAD_DOWNLOADS: "fast" }, /^UPLOAD_DOWNLOADS must be stream, redirect or accelerated, not "fast"\.$/],
  [{ UPLOAD_DOWNLOADS: "redirect" }, /^UPLOAD_DOWNLOADS=redirect .* UPLOAD_BUCKET_NAME is not set\.$/],
  [{ UPLOAD_REDIRECT_LIFETIME: "8d" }, /^UPLOAD_REDIRECT_LIFETIME must be a duration from 1s to 7d, .*, not "8d"\.$/],
  [{ UPLOAD_REDIRECT_LIFETIME: "1500ms" }, /^UPLOAD_REDIRECT_LIFETIME must be a duration from 1s/],
  [{ PORT: "65536" }, /^PORT must be a port from 0 to 65535, not "65536"\.$/],
  [{ PORT: "http" }, /^PORT must be a port/],
  [{ HOST: "not a host" }, /^HOST must be an address or a host name/],
  [{ UPLOAD_OPEN: "true" }, /^UPLOAD_OPEN must be yes or no, not "true"\.$/],
  [{ UPLOAD_DURABILITY: "some" }, /^UPLOAD_DURABILITY must be full or none/],
  [{ UPLOAD_LOG_LEVEL: "loud" }, /^UPLOAD_LOG_LEVEL must be debug, info, warn, error or silent/],
  [{ UPLOAD_LOG_FORMAT: "xml" }, /^UPLOAD_LOG_FORMAT must be auto, pretty or json/],
  [{ UPLOAD_PUBLIC_URL: "files.example.com" }, /^UPLOAD_PUBLIC_URL must be a URL/],
  [{ UPLOAD_PUBLIC_URL: "ftp://files.example.com" }, /^UPLOAD_PUBLIC_URL must be a URL/],
  [{ UPLOAD_PUBLIC_URL: "https://files.example.com/?a=b" }, /^UPLOAD_PUBLIC_URL must be a URL/],
  ...[
    "https://files.example.com",
    "files.example.com:3000",
    "*.example.com",
    "*",
    "a b",
    "files.example.com/x",
    "user@host",
    "::1",
    "[::1",
    "[fe80::1%25eth0]",
    "a,https://b",
    "1.2.3.4.5",
    "%6cocalhost",
    ",",
  ].map((given) => [{ UPLOAD_HOSTS: given }, /^UPLOAD_HOSTS must be host names such as .*, not "/] as const),
  [{ UPLOAD_PREFIX: "uploads" }, /^UPLOAD_PREFIX must be a path/],
  [{ UPLOAD_PREFIX: "/" }, /^UPLOAD_PREFIX must be a path/],
  [{ UPLOAD_PREFIX: "/uploads/" }, /^UPLOAD_PREFIX must be a path/],
  [{ UPLOAD_PREFIX: "/a/../b" }, /^UPLOAD_PREFIX must be a path/],
  ...[
    "app.example.com",
    "//app.example.com",
    "https://app.example.com/",
    "https://app.example.com/path",
    "https://app.example.com:443",
    "HTTPS://App.example.com",
    "https://user@app.example.com",
    "https://*.example.com",
    "https://*",
    "http://localhost:*",
    "*.example.com",
    "**",
    "null",
    "ftp://app.example.com",
    "file:///app",
    "https://a.example https://b.example",
    "*, https://app.example.com",
    "https://app.example.com, https://*.example.com",
  ].map(
    (UPLOAD_CORS_ORIGINS) =>
      [{ UPLOAD_CORS_ORIGINS }, /^UPLOAD_CORS_ORIGINS must be origins .*no wildcard.*, not "/] as const,
  ),
  [{ UPLOAD_CORS_ORIGINS: "," }, /^UPLOAD_CORS_ORIGINS must be origins/],
  [
    { HOST: "0.0.0.0" },
    /^Without tokens anybody who reaches 0\.0\.0\.0 could upload\. Set UPLOAD_TOKENS, or UPLOAD_OPEN=yes/,
  ],
  [{ HOST: "files.example.com" }, /^Without tokens/],
  [{ UPLOAD_TOKENS: " , " }, /^UPLOAD_TOKENS contains nothing\.$/],
  [{ UPLOAD_TOKENS: TOKEN, UPLOAD_OPEN: "yes" }, /contradict/],
  [
    { UPLOAD_TOKENS: "fifteen-letters" },
    /^UPLOAD_TOKENS: The secret of the token in entry 1 must have at least 16 characters\.$/,
  ],
  [{ UPLOAD_TOKENS: `${TOKEN} ${TOKEN}` }, /^UPLOAD_TOKENS: The secret of the token in entry 1 may contain only/],
  [{ UPLOAD_TOKENS: "ci=" }, /^UPLOAD_TOKENS: The token in entry 1 has a name and no secret/],
  [{ UPLOAD_TOKENS: `ci=${TOKEN},ci=${TOKEN}0` }, /^UPLOAD_TOKENS: Two tokens, entries 1 and 2, are named ci/],
  [{ UPLOAD_PERMIT_KEYS: "," }, /^UPLOAD_PERMIT_KEYS contains nothing\.$/],
  [{ UPLOAD_PERMIT_KEYS: `${KEY},${TOKEN}` }, /^UPLOAD_PERMIT_KEYS: Key 2 for permits has 16 characters/],
  [{ UPLOAD_LINK_KEYS: TOKEN }, /^UPLOAD_LINK_KEYS: Key 1 for links has 16 characters/],
  [{ UPLOAD_LINK_KEYS_FILE: "/nowhere/keys" }, /^Cannot read UPLOAD_LINK_KEYS_FILE=\/nowhere\/keys \(ENOENT: .*\)\.$/],
  [{ UPLOAD_READS: "signed" }, /^UPLOAD_READS=signed needs keys that sign links: set UPLOAD_LINK_KEYS/],
  [{ UPLOAD_READS: "app" }, /^UPLOAD_READS must be public or signed, not "app"\.$/],
  [{ UPLOAD_TYPES: "images" }, /^UPLOAD_TYPES must be types such as image\/\*, /],
  [{ UPLOAD_TYPES: "," }, /^UPLOAD_TYPES must be types/],
  [{ UPLOAD_PERMIT_KEYS: KEY, UPLOAD_OPEN: "yes" }, /contradict/],
  [{ UPLOAD_TOKENS_FILE: import.meta.dirname }, /^Cannot read UPLOAD_TOKENS_FILE=/],
  [{ UPLOAD_BUCKET_REGION: "eu-central-1" }, /^UPLOAD_BUCKET_REGION is set, but UPLOAD_BUCKET_NAME is not\.$/],
  [{ UPLOAD_BUCKET_PREFIX: "a" }, /^UPLOAD_BUCKET_PREFIX is set, but UPLOAD_BUCKET_NAME is not\.$/],
  [{ UPLOAD_BUCKET_NAME: "uploads" }, /^Set UPLOAD_BUCKET_REGION for a bucket at AWS, or UPLOAD_BUCKET_ENDPOINT/],
  [
    { UPLOAD_BUCKET_NAME: "uploads", UPLOAD_BUCKET_REGION: "eu-central-1", UPLOAD_BUCKET_ACCESS_KEY: "a" },
    /^UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY belong together/,
  ],
  [{ UPLOAD_BUCKET_MAX_PARTS: "0" }, /^UPLOAD_BUCKET_MAX_PARTS must be a whole number from 1/],
  ...[
    "ftp://s3.local",
    "https://key:secret@s3.local",
    "key:secret@s3.local",
    "s3.local/?a=b",
    "s3.local#a",
    "https://",
    "a b",
    "minio:port",
  ].flatMap((value) =>
    ["UPLOAD_BUCKET_ENDPOINT", "UPLOAD_BUCKET_PUBLIC_ENDPOINT"].map(
      (name) => [{ UPLOAD_BUCKET_NAME: "a", [name]: value }, new RegExp(`^${name} must be a URL`)] as const,
    ),
  ),
  [{ UPLOAD_TOKENS_FILE: "/nowhere/tokens" }, /^Cannot read UPLOAD_TOKENS_FILE=/],
];

for (const [env, message] of WRONG) {
  test(`${JSON.stringify(env)} is refused, naming the setting`, () => {
    assert.match(refusal({ env }), message);
  });
}

test("variables that Kubernetes injects for a Service named upload are ignored", () => {
  const env = {
    UPLOAD_PORT: "tcp://10.0.0.1:80",
    UPLOAD_SERVICE_HOST: "10.0.0.1",
    UPLOAD_SERVICE_PORT: "80",
    UPLOAD_SERVICE_PORT_HTTP: "80",
    UPLOAD_PORT_80_TCP: "tcp://10.0.0.1:80",
    UPLOAD_PORT_80_TCP_ADDR: "10.0.0.1",
    UPLOAD_PORT_80_TCP_PORT: "80",
    UPLOAD_PORT_80_TCP_PROTO: "tcp",
    UPLOAD_API_SERVICE_HOST: "10.0.0.2",
  };
  assert.equal(readConfig({ env }).port, 3000);
});

test("variables that only resemble those of a Service are refused", () => {
  for (const [name, value] of [
    ["UPLOAD_API_PORT", "8080"],
    ["UPLOAD_SERVICE", "10.0.0.1"],
    ["UPLOAD_PORT_80", "tcp://10.0.0.1:80"],
    ["UPLOAD_PORT_80_TCP_NAME", "upload"],
    ["UPLOAD_PORT_80_HTTP", "http://10.0.0.1:80"],
    ["UPLOAD_Api_SERVICE_HOST", "10.0.0.1"],
  ] as const) {
    assert.match(refusal({ env: { [name]: value } }), new RegExp(`^Unknown setting ${name}\\.`));
  }
});

test("all mistakes are reported at once, one per line", () => {
  const lines = refusal({ env: { PORT: "x", UPLOAD_OPEN: "x" }, flags: { maxSize: "x" } }).split("\n");
  assert.deepEqual(
    lines.map((line) => line.split(" ")[0]),
    ["PORT", "--max-size", "UPLOAD_OPEN"],
  );
});

test("no message contains a token or a key", () => {
  for (const secret of ["short-s3cret", "s3cret with spaces in it", "s3cret,short", "s3cret=name", "name=s3cret"]) {
    for (const setting of ["UPLOAD_TOKENS", "UPLOAD_PERMIT_KEYS", "UPLOAD_LINK_KEYS"]) {
      assert.doesNotMatch(refusal({ env: { [setting]: secret } }), /s3cret/);
    }
  }
  assert.doesNotMatch(refusal({ env: { UPLOAD_BUCKET_SECRET_KEY: "secret" } }), /secret/);
  // White space is not a key, and is not shown either.
  assert.equal(
    refusal({ env: { UPLOAD_BUCKET_NAME: "a", UPLOAD_BUCKET_SECRET_KEY: "\t" } }),
    "UPLOAD_BUCKET_SECRET_KEY must be a text that is not empty.",
  );
});

test("the keys of a bucket may be in files, of one line each", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-bucket-keys-"));
  try {
    const [accessKey, secretKey] = [join(folder, "access"), join(folder, "secret")];
    await writeFile(accessKey, "AKID\n");
    await writeFile(secretKey, "# rotated in May\n s3cret/key+ \n");
    const env = { UPLOAD_BUCKET_NAME: "a", UPLOAD_BUCKET_ENDPOINT: "https://s3.local" };
    const files = { ...env, UPLOAD_BUCKET_ACCESS_KEY_FILE: accessKey, UPLOAD_BUCKET_SECRET_KEY_FILE: secretKey };
    const { bucketAccessKey, bucketSecretKey } = readConfig({ env: files });
    assert.deepEqual([bucketAccessKey, bucketSecretKey], ["AKID", "s3cret/key+"]);
    const mixed = { ...env, UPLOAD_BUCKET_ACCESS_KEY: "AKID", UPLOAD_BUCKET_SECRET_KEY_FILE: secretKey };
    assert.equal(readConfig({ env: mixed }).bucketSecretKey, "s3cret/key+");

    const half = { ...env, UPLOAD_BUCKET_SECRET_KEY_FILE: secretKey };
    assert.match(refusal({ env: half }), /belong together/);
    const both = { ...files, UPLOAD_BUCKET_SECRET_KEY: "s3cret" };
    assert.match(refusal({ env: both }), /_SECRET_KEY and UPLOAD_BUCKET_SECRET_KEY_FILE are both set: remove one/);
    const absent = { ...files, UPLOAD_BUCKET_SECRET_KEY_FILE: join(folder, "nothing") };
    assert.match(refusal({ env: absent }), /^Cannot read UPLOAD_BUCKET_SECRET_KEY_FILE=/);
    for (const [content, message] of [
      ["\n# only a comment\n", /contains nothing/],
      ["s3cret\ns3cret\n", /must contain one line/],
    ] as const) {
      await writeFile(secretKey, content);
      assert.match(refusal({ env: files }), message);
      assert.doesNotMatch(refusal({ env: files }), /s3cret/);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("with tokens, permit keys or UPLOAD_OPEN=yes, the server may listen on any address", () => {
  for (const env of [{ UPLOAD_TOKENS: TOKEN }, { UPLOAD_PERMIT_KEYS: KEY }, { UPLOAD_OPEN: "yes" }]) {
    assert.equal(readConfig({ env: { HOST: "0.0.0.0", ...env } }).host, "0.0.0.0");
  }
});

test("every name of the loopback interface is accepted without tokens", () => {
  for (const HOST of ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
    assert.equal(readConfig({ env: { HOST } }).host, HOST);
  assert.equal(readConfig({ env: { HOST: "LocalHost" } }).host, "localhost");
});

test("origins may be listed, or all allowed", () => {
  const origins = (UPLOAD_CORS_ORIGINS: string): unknown => readConfig({ env: { UPLOAD_CORS_ORIGINS } }).corsOrigins;
  assert.deepEqual(origins("https://a.example, http://localhost:5173"), ["https://a.example", "http://localhost:5173"]);
  assert.equal(origins("*"), "*");
});

test("tokens and keys come from the environment and from files with comments and empty lines", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  try {
    const file = join(folder, "tokens");
    await writeFile(file, `\ufeff# who may upload\nthree=${TOKEN}-3 max-open=1\r\n\n  four=${TOKEN}-4  \n`);
    const { tokens, areInFiles } = readConfig({
      env: { UPLOAD_TOKENS: `one=${TOKEN}-1 types=image/*|.pdf, two=${TOKEN}-2`, UPLOAD_TOKENS_FILE: file },
    });
    assert.deepEqual([tokens?.names, areInFiles], [["one", "two", "three", "four"], true]);
    await writeFile(file, `# the newest\n${KEY}\n${KEY} before\n`);
    const env = { UPLOAD_PERMIT_KEYS: `${KEY} first`, UPLOAD_PERMIT_KEYS_FILE: file, UPLOAD_LINK_KEYS_FILE: file };
    const { permitKeys, linkKeys } = readConfig({ env });
    assert.deepEqual(permitKeys, [`${KEY} first`, KEY, `${KEY} before`]);
    assert.deepEqual(linkKeys, [KEY, `${KEY} before`]);
    await writeFile(file, "# nobody yet\n");
    for (const setting of ["UPLOAD_TOKENS_FILE", "UPLOAD_PERMIT_KEYS_FILE"]) {
      assert.match(refusal({ env: { [setting]: file } }), new RegExp(`^${setting}=.* contains nothing: `));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("whether content existed is revealed unless reads are signed, or as it is set", () => {
  const reveals = (env: Record<string, string>): boolean =>
    readConfig({ env: { UPLOAD_LINK_KEYS: KEY, ...env } }).revealExisting;
  assert.deepEqual([reveals({}), reveals({ UPLOAD_READS: "signed" })], [true, false]);
  assert.equal(reveals({ UPLOAD_READS: "signed", UPLOAD_REVEAL_EXISTING: "yes" }), true);
  assert.equal(reveals({ UPLOAD_REVEAL_EXISTING: "no" }), false);
});

test("types are ranges, types and extensions", () => {
  const { types } = readConfig({ env: { UPLOAD_TYPES: "image/*, application/pdf ,.docx" } });
  assert.equal(String(types), "image/*, application/pdf, .docx");
});

test("a flag is the name of the setting in kebab case", () => {
  assert.equal(flagOf("shutdownTimeout"), "--shutdown-timeout");
});

test("a mistyped word is matched with the closest one, unless none is close", () => {
  const words = ["UPLOAD_DIR", "UPLOAD_MAX_SIZE", "UPLOAD_TOKENS", "UPLOAD_TOKENS_FILE"];
  assert.equal(closestMatch("UPLOAD_MAXSIZE", words), "UPLOAD_MAX_SIZE");
  assert.equal(closestMatch("UPLOAD_TOKEN", words), "UPLOAD_TOKENS");
  assert.equal(closestMatch("UPLOAD_DRI", words), "UPLOAD_DIR");
  assert.equal(closestMatch("UPLOAD_COLOUR_SCHEME", words), null);
  assert.equal(closestMatch("anything", []), null);
});
