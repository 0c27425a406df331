import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runCommand } from "../helpers/command.ts";
import { listen } from "../helpers/listen.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { until } from "../helpers/settled.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";
import { connections, workersOf } from "./workers.ts";

const TEXT = (path: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** A scraped series, such as `fixity_uploads_total`, its labels and its value. */
interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

async function scrape(server: ServerProcess): Promise<Series[]> {
  const response = await fetch(metricsUrl(server));
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name = "", labels = "", value = ""] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(line);
    const pairs = Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, key = "", text = ""]) => [key, text]);
    return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) };
  });
}

/** The sum of all series of a name with these labels. */
function sum(series: readonly Series[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  const isMeant = (one: Series): boolean =>
    one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value);
  return series.filter(isMeant).reduce((total, { value }) => total + value, 0);
}

function metricsUrl({ output }: ServerProcess): string {
  return /"url":"(http:[^"]+\/metrics)"/.exec(output)?.[1] ?? assert.fail(output);
}

/** Scrapes until `isThere`: a request is counted a moment after its client has the answer. */
async function scrapeUntil(server: ServerProcess, isThere: (series: Series[]) => boolean): Promise<Series[]> {
  for (let tries = 0; tries < 200; tries += 1) {
    const series = await scrape(server);
    if (isThere(series)) return series;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return assert.fail("the metrics never had the expected values");
}

const start = (dir: string, env: Record<string, string> = {}): Promise<ServerProcess> =>
  ServerProcess.start({ dir: join(folder, dir), env: { UPLOAD_METRICS_PORT: "0", ...env } });

/** One upload by each protocol, one that is refused, and one that is cancelled. */
async function useAll({ url }: ServerProcess): Promise<string> {
  const uploads = `${url}/uploads`;
  const small = randomBytes(4096);
  const { url: link } = (await (await fetch(uploads, { method: "POST", body: small })).json()) as { url: string };
  await fetch(uploads, { method: "POST", body: small });
  const form = new FormData();
  form.append("file", new Blob([randomBytes(5000)]), "a.png");
  await fetch(uploads, { method: "POST", body: form });
  await fetch(`${uploads}/a.txt`, { method: "PUT", body: randomBytes(100) });
  const wrong = await fetch(`${uploads}/${"ab".repeat(32)}`, { method: "PUT", body: randomBytes(100) });
  assert.equal(wrong.status, 422);
  const tus = { "Tus-Resumable": "1.0.0" };
  const created = await fetch(uploads, { method: "POST", headers: { ...tus, "Upload-Length": "2000" } });
  const location = new URL(created.headers.get("location") ?? "", uploads);
  for (const offset of [0, 1000]) {
    const headers = { ...tus, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
    assert.equal((await fetch(location, { method: "PATCH", headers, body: randomBytes(1000) })).status, 204);
  }
  const open = await fetch(uploads, { method: "POST", headers: { ...tus, "Upload-Length": "2000" } });
  await fetch(new URL(open.headers.get("location") ?? "", uploads), { method: "DELETE", headers: tus });
  await fetch(uploads, { method: "POST", headers: { ...tus, "Upload-Length": "2000" } });
  const ietf = { "Upload-Complete": "?1", "Upload-Draft-Interop-Version": "8" };
  assert.ok((await fetch(uploads, { method: "POST", headers: ietf, body: randomBytes(300) })).ok);
  for (let reads = 0; reads < 2; reads += 1)
    assert.equal((await (await fetch(url + link)).arrayBuffer()).byteLength, 4096);
  assert.equal((await fetch(`${uploads}/${"cd".repeat(32)}`)).status, 404);
  return link;
}

describe("metrics of a server on a disk", () => {
  test("every protocol, outcome and route is counted, with sizes and times", async () => {
    await using server = await start("counted");
    await useAll(server);
    const series = await scrapeUntil(server, (found) => sum(found, "fixity_downloads_total") === 3);
    const uploads = (labels: Record<string, string>): number => sum(series, "fixity_uploads_total", labels);
    assert.equal(uploads({ protocol: "plain", route: "collection", outcome: "stored" }), 1);
    assert.equal(uploads({ protocol: "plain", route: "collection", outcome: "existed" }), 1);
    assert.equal(uploads({ protocol: "form", route: "collection", outcome: "stored" }), 1);
    assert.equal(uploads({ protocol: "plain", route: "name", outcome: "stored" }), 1);
    assert.equal(uploads({ protocol: "plain", route: "link", outcome: "failed" }), 1);
    assert.equal(uploads({ protocol: "tus", route: "upload", outcome: "stored" }), 1);
    assert.equal(uploads({ protocol: "tus", outcome: "cancelled" }), 1);
    assert.equal(uploads({ protocol: "ietf", route: "collection", outcome: "stored" }), 1);
    assert.equal(sum(series, "fixity_upload_failures_total", { code: "digest-mismatch" }), 1);
    assert.equal(sum(series, "fixity_http_errors_total", { code: "digest-mismatch" }), 1);
    assert.equal(sum(series, "fixity_uploads_open"), 1);
    assert.equal(sum(series, "fixity_uploads_resumed_total", { protocol: "tus" }), 1);
    assert.equal(sum(series, "fixity_upload_appends_total", { protocol: "tus", outcome: "ok" }), 2);
    for (const part of ["size_bytes", "receive_seconds", "hash_seconds", "commit_seconds"]) {
      assert.equal(sum(series, `fixity_upload_${part}_count`), 6, part);
    }
    assert.equal(sum(series, "fixity_upload_size_bytes_sum"), 4096 * 2 + 5000 + 100 + 2000 + 300);
    assert.ok(sum(series, "fixity_upload_hash_seconds_sum") > 0);
    assert.equal(sum(series, "fixity_downloads_total", { outcome: "complete", status: "2xx" }), 2);
    assert.equal(sum(series, "fixity_downloads_total", { outcome: "failed", status: "4xx" }), 1);
    assert.equal(sum(series, "fixity_download_size_bytes_sum"), 8192);
    assert.deepEqual(
      ["hit", "miss"].map((result) => sum(series, "fixity_cache_lookups_total", { result })),
      [1, 2],
    );
    assert.ok(sum(series, "fixity_http_received_bytes_total", { protocol: "form" }) > 5000);
    assert.equal(sum(series, "fixity_cleanups_total", { outcome: "ok" }), 1);
    assert.equal(sum(series, "fixity_build_info", { store: "disk" }), 1);
  });

  test("damage is counted, and an upload that expired", async () => {
    await using server = await start("damaged", { UPLOAD_CACHE: "0", UPLOAD_EXPIRY: "300ms" });
    const body = randomBytes(1000);
    const { url, digest } = (await (await fetch(`${server.url}/uploads`, { method: "POST", body })).json()) as {
      url: string;
      digest: string;
    };
    const hex = digest.slice("sha256:".length);
    const file = join(folder, "damaged", "blobs", hex.slice(0, 2), hex);
    await chmod(file, 0o600);
    await writeFile(file, randomBytes(1000));
    assert.equal((await fetch(server.url + url)).status, 500);
    await fetch(`${server.url}/uploads`, {
      method: "POST",
      headers: { "Tus-Resumable": "1.0.0", "Upload-Length": "9" },
    });
    const series = await scrapeUntil(server, (all) => sum(all, "fixity_uploads_total", { outcome: "expired" }) === 1);
    assert.equal(sum(series, "fixity_verifications_total", { outcome: "different" }), 1);
    assert.equal(sum(series, "fixity_verifications_total", { outcome: "damaged" }), 1);
    assert.equal(sum(series, "fixity_damaged_blobs"), 1);
    assert.equal(sum(series, "fixity_http_errors_total", { code: "blob-damaged" }), 1);
  });

  test("no text of a request becomes the value of a label", async () => {
    await using server = await start("bounded");
    const base = (await scrape(server)).length;
    for (let round = 0; round < 3; round += 1) {
      const secret = `secret-${round}`;
      await fetch(`${server.url}/uploads/${secret}`, { method: `X${round}` }).catch(() => null);
      await fetch(`${server.url}/uploads/${secret}.txt?filename=${secret}`, {
        method: "PUT",
        body: secret,
        headers: { "Content-Type": `a/${secret}` },
      });
      await fetch(`${server.url}/${secret}`);
      await fetch(`${server.url}/uploads/in-progress/${secret}`);
    }
    const series = await scrapeUntil(server, (all) => sum(all, "fixity_uploads_total") === 3);
    assert.doesNotMatch(JSON.stringify(series), /secret|X\d/);
    const bounded = series.length;
    await fetch(`${server.url}/uploads/another.txt`, { method: "PUT", body: "another" });
    const after = await scrapeUntil(server, (all) => sum(all, "fixity_uploads_total") === 4);
    assert.equal(
      after.filter(({ name }) => name.startsWith("fixity_")).length,
      series.filter(({ name }) => name.startsWith("fixity_")).length,
    );
    assert.ok(bounded > base);
  });
});

test("metrics are on their own port alone, as text or as OpenMetrics, and nothing else is", async () => {
  await using server = await start("port");
  assert.equal((await fetch(`${server.url}/metrics`)).status, 404);
  const url = metricsUrl(server);
  const accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
  for (let round = 0; round < 2; round += 1) {
    const open = await fetch(url, { headers: { Accept: accept } });
    assert.match(open.headers.get("content-type") ?? "", /^application\/openmetrics-text; version=1\.0\.0/);
    const text = await open.text();
    assert.match(text, /\n# EOF\n$/);
    assert.match(text, /^# TYPE fixity_cleanups counter$/m);
    assert.match(text, /^fixity_cleanups_total\{outcome="failed"\} 0$/m);
    assert.match(await (await fetch(url)).text(), /^# TYPE fixity_cleanups_total counter$/m);
  }
  assert.equal((await fetch(url, { method: "HEAD" })).status, 200);
  assert.equal((await fetch(url, { method: "POST" })).status, 405);
  for (const path of ["/", "/uploads", "/metrics/x"]) assert.equal((await fetch(new URL(path, url))).status, 404, path);
});

test("the metrics of workers are added up, and what killed ones have counted stays", async () => {
  await using server = await start("workers", { UPLOAD_WORKERS: "2" });
  const create = async (): Promise<void> => {
    const response = await fetch(`${server.url}/uploads`, { method: "POST", headers: { "Upload-Complete": "?0" } });
    assert.equal(response.status, 201);
  };
  const creations = (all: readonly Series[]): number => sum(all, "fixity_http_requests_total", { action: "create" });
  for (let count = 0; count < 4; count += 1) await create();
  const counted = await scrapeUntil(server, (all) => creations(all) === 4);
  assert.equal(sum(counted, "fixity_uploads_open"), 4);
  for (const pid of workersOf(server).values()) {
    process.kill(pid, "SIGKILL");
    await until(async () => workersOf(server).size === 2 && !Array.from(workersOf(server).values()).includes(pid));
    // A connection may still be on its way to the one that was killed.
    await until(async () => {
      const reached = await connections(server, 2).catch(() => null);
      for (const client of reached?.values() ?? []) client.socket.destroy();
      return reached !== null;
    });
  }
  await create();
  const after = await scrapeUntil(server, (all) => creations(all) >= 5);
  assert.equal(creations(after), 5);
  assert.equal(sum(after, "fixity_uploads_open"), 5);
});

test("without the setting nothing listens, and a port that is taken is refused in one line", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "none") });
  assert.doesNotMatch(server.output, /metrics/);
  const env = { PORT: "0", UPLOAD_DIR: join(folder, "none"), UPLOAD_METRICS_PORT: String(server.port) };
  const { code, err } = await runCommand(["serve"], { env, cwd: folder });
  assert.equal(code, 2);
  assert.match(
    err,
    /^fixity: Cannot serve metrics on 127\.0\.0\.1, port \d+: the port is taken\. Set UPLOAD_METRICS_PORT .*\n$/,
  );
});

test("a valid traceparent is in the log line of its request, an invalid one is not", async () => {
  await using server = await start("traced", { UPLOAD_LOG_FORMAT: "json" });
  const [traceId, parentId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
  for (const path of ["/uploads", "/elsewhere"]) {
    await fetch(server.url + path, { headers: { traceparent: `00-${traceId}-${parentId}-01` } });
    await fetch(server.url + path, { headers: { traceparent: `00-${traceId}-${parentId}` } });
  }
  await scrapeUntil(server, () => (server.output.match(/"answered"/g) ?? []).length === 4);
  const lines = server.output.split("\n").filter((line) => line.includes('"answered"'));
  assert.deepEqual(
    lines.map((line) =>
      line.includes(`"traceId":"${traceId}","parentId":"${parentId}"`) ? "traced" : line.includes("traceId"),
    ),
    ["traced", false, "traced", false],
  );
});

describe("what uses the metrics", () => {
  /** All series of a server over a bucket and of one on a disk, which have all metrics between them. */
  let series: Series[] = [];
  before(async () => {
    await using bucket = await ScriptedServer.start();
    const settings = {
      UPLOAD_BUCKET_NAME: "bucket",
      UPLOAD_BUCKET_REGION: "us-east-1",
      UPLOAD_BUCKET_ENDPOINT: bucket.endpoint,
      UPLOAD_BUCKET_ACCESS_KEY: KEYS.accessKey,
      UPLOAD_BUCKET_SECRET_KEY: KEYS.secretKey,
    };
    await using receiver = await listen((_request, response) => void response.writeHead(204).end());
    await using onDisk = await start("used", {
      UPLOAD_WEBHOOK_URL: receiver.url,
      UPLOAD_WEBHOOK_SECRET: `whsec_${randomBytes(32).toString("base64")}`,
    });
    await using onS3 = await start("unused", settings);
    bucket.once("PutObject", { status: 503, body: "" });
    for (const server of [onDisk, onS3]) {
      await useAll(server);
      const events = server === onDisk ? 6 : 0;
      const isDone = (all: Series[]): boolean =>
        sum(all, "fixity_downloads_total") === 3 &&
        sum(all, "fixity_events_total", { outcome: "delivered" }) === events;
      series.push(...(await scrapeUntil(server, isDone)));
    }
    assert.ok(sum(series, "fixity_store_requests_total", { operation: "PutObject", outcome: "ok", status: "2xx" }) > 0);
    assert.ok(sum(series, "fixity_store_request_retries_total") > 0);
    assert.ok(sum(series, "fixity_store_request_seconds_count", { operation: "GetObject" }) > 0);
    assert.equal(sum(series, "fixity_buffer_budget_bytes"), 96 * 1024 ** 2);
  });

  /** Labels that Prometheus adds to what it scrapes. */
  const ADDED = ["job", "instance"];

  for (const [file, count] of [
    ["examples/monitoring/alerts.yml", 15],
    ["examples/monitoring/dashboard.json", 30],
  ] as const) {
    test(`${file} uses metrics and labels that exist`, async () => {
      const text = await TEXT(file);
      const expressions = file.endsWith(".json")
        ? Array.from(text.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g), ([, json = ""]) => JSON.parse(json) as string)
        : Array.from(text.matchAll(/expr:(?: >-)?((?:.|\n {10})*)/g), ([, expression = ""]) => expression);
      assert.ok(expressions.length >= count, `${expressions.length}`);
      for (const expression of expressions) {
        const names = expression.match(/\b(?:fixity|nodejs|process)_\w+|\bup\b/g) ?? [];
        assert.ok(names.length > 0, expression);
        const known = new Set(ADDED);
        for (const name of names.filter((one) => one !== "up")) {
          const found = series.filter((one) => one.name === name);
          assert.ok(found.length > 0, `${name} is not scraped`);
          for (const label of found.flatMap(({ labels }) => Object.keys(labels))) known.add(label);
        }
        const grouped = Array.from(expression.matchAll(/by \(([^)]*)\)/g), ([, list = ""]) => list.split(/, ?/)).flat();
        const selected = Array.from(expression.matchAll(/(\w+)=~?"/g), ([, label = ""]) => label);
        for (const label of [...grouped, ...selected]) assert.ok(known.has(label), `${label} in ${expression}`);
      }
    });
  }

  test("docs/metrics.md describes every metric with its labels and every alert, and no others", async () => {
    const page = await TEXT("docs/metrics.md");
    const described = Array.from(page.matchAll(/^\| `(fixity_\w+)` \|([^|]*)\|/gm), ([, name = "", labels = ""]) => [
      name,
      Array.from(labels.matchAll(/`(\w+)`/g), ([, label = ""]) => label).sort(),
    ]);
    const labelsOf = new Map<string, Set<string>>();
    for (const { name, labels } of series.filter((one) => one.name.startsWith("fixity_"))) {
      const metric = name.replace(/(_bytes|_seconds)_(bucket|sum|count)$/, "$1");
      const known = labelsOf.get(metric) ?? new Set();
      for (const label of Object.keys(labels)) if (label !== "le") known.add(label);
      labelsOf.set(metric, known);
    }
    const byName = ([one]: unknown[], [other]: unknown[]): number => (String(one) < String(other) ? -1 : 1);
    assert.deepEqual(
      described.sort(byName),
      [...labelsOf].map(([name, labels]) => [name, [...labels].sort()]).sort(byName),
    );
    const alerts = Array.from(
      (await TEXT("examples/monitoring/alerts.yml")).matchAll(/alert: (\w+)/g),
      ([, name]) => name,
    );
    const remedies = Array.from(page.matchAll(/^\| `(Fixity\w+)` \|/gm), ([, name]) => name);
    assert.deepEqual(remedies, alerts);
  });
});
