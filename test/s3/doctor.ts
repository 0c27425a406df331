/** `fixity doctor`, `gc` and `verify` with a bucket, on a real server and on one with faults. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { content, digestOf, keep } from "../../src/stores/contract/tools.ts";
import type { Finding } from "../../src/stores/doctor/finding.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { someOf } from "../helpers/full-run.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

/** The probes of a bucket on this machine, except the last one, CORS. */
const MOST_PROBES = 30;

function envOf({ gateway, prefix }: S3Place, endpoint: string = gateway.endpoint): Record<string, string> {
  return {
    ...bucketSettings(gateway),
    UPLOAD_BUCKET_ENDPOINT: endpoint,
    UPLOAD_BUCKET_PREFIX: prefix,
  };
}

/** The doctor's output for programs. */
async function examine(env: Record<string, string>) {
  const { code, out, err } = await runCommand(["doctor", "--json"], { env });
  const lines = jsonLines(out);
  const findings = lines.slice(0, -1) as unknown as readonly Finding[];
  return { code, err, findings, verdict: lines.at(-1), of: (probe: string) => findingOf(findings, probe) };
}

function findingOf(findings: readonly Finding[], probe: string): Finding {
  return findings.find((finding) => finding.probe === probe) ?? assert.fail(`no finding of ${probe}`);
}

export function doctorSuite(gateway: Gateway): void {
  describe("maintenance of a bucket", () => {
    test("a sound bucket passes, and nothing is left behind", async () => {
      await using place = new S3Place(gateway);
      const { code, findings, verdict, err } = await examine(envOf(place));
      const amiss = findings.filter(({ verdict, probe }) => verdict !== "ok" && probe !== "cors" && probe !== "https");
      assert.deepEqual([code, amiss, err], [0, [], ""]);
      assert.ok(findings.length >= MOST_PROBES, `${findings.length} probes`);
      assert.equal(verdict?.["usable"], true);
      assert.deepEqual([await place.objects(), await place.uploads()], [[], []]);
    });

    test("the output for people has groups, a line per probe, and a verdict", async () => {
      await using place = new S3Place(gateway);
      const { out } = await runCommand(["doctor"], { env: envOf(place) });
      assert.match(out, /^S3 bucket .*\n\nConnection\n {2}ok {4}The endpoint responds\n/);
      assert.match(out, /^ {2}ok {4}They become one object \(CompleteMultipartUpload\)$/m);
      assert.match(out, /^\d+ probes: \d+ ok.*\nThis store can be used\.\n$/m);
      assert.doesNotMatch(out, new RegExp(gateway.secretKey));
    });

    const ours = gateway.collectGarbage === null ? { skip: "says how Ceph differs" } : {};
    test("the form in which an ETag is understood is reported", ours, async () => {
      await using place = new S3Place(gateway);
      const { of } = await examine(envOf(place));
      assert.equal(of("put-if-match").found, "only with the ETag without quotation marks");
    });

    const refused: readonly (readonly [operation: string, probe: string, action: string, isVital: boolean])[] = [
      ["PutObject", "put", "s3:PutObject", true],
      ["GetObject", "get", "s3:GetObject", true],
      ["ListObjectsV2", "list", "s3:ListBucket", true],
      ["UploadPart", "multipart", "s3:PutObject", true],
      ["CopyObject", "copy", "s3:PutObject", true],
      ["DeleteObject", "delete", "s3:DeleteObject", false],
      ["ListMultipartUploads", "list-uploads", "s3:ListBucketMultipartUploads", false],
      ["ListParts", "list-parts", "s3:ListMultipartUploadParts", false],
      ["AbortMultipartUpload", "abort", "s3:AbortMultipartUpload", false],
      ["UploadPartCopy", "copy-parts", "s3:PutObject", false],
    ];
    for (const [operation, probe, action, isVital] of someOf(refused, 2)) {
      test(`keys that may not ${operation} are reported to lack ${action}`, async () => {
        await using place = new S3Place(gateway);
        await using proxy = await FaultProxy.start(gateway.endpoint);
        proxy.strike({ operation, fault: "status-403", times: Infinity });
        const { code, of, err } = await examine(envOf(place, proxy.endpoint));
        const { verdict, permission, found } = of(probe);
        assert.deepEqual([verdict, permission], [isVital ? "failure" : "warning", action]);
        assert.equal(found, `${operation} was refused (AccessDenied): the credentials lack ${action}.`);
        assert.deepEqual([code, err], [isVital ? 1 : 0, ""]);
        const left = [...(await place.objects()), ...(await place.uploads())].map(({ key }) => key);
        const told = of("clear").found ?? "";
        for (const key of left) assert.ok(told.includes(key), `${key} was left and is not reported`);
      });
    }

    const unusable: readonly (readonly [what: string, env: Record<string, string>, line: RegExp])[] = [
      ["a secret key that is another's", { UPLOAD_BUCKET_SECRET_KEY: "other" }, /The secret key does not match/],
      ["an access key that nobody has", { UPLOAD_BUCKET_ACCESS_KEY: "other" }, /The access key is unknown at/],
      ["a bucket that is not there", { UPLOAD_BUCKET_NAME: "not-there" }, /There is no bucket not-there at/],
      ["a port where nothing listens", { UPLOAD_BUCKET_ENDPOINT: "http://127.0.0.1:1" }, /Nothing listens at/],
    ];
    for (const [what, wrong, line] of someOf(unusable, 1)) {
      test(`${what} ends the examination at once`, async () => {
        await using place = new S3Place(gateway);
        const { code, findings } = await examine({ ...envOf(place), ...wrong });
        assert.equal(code, 1);
        assert.equal(findings.at(-1)?.verdict, "failure");
        assert.match(findings.at(-1)?.found ?? "", line);
        const { code: undone, err } = await runCommand(["gc"], { env: { ...envOf(place), ...wrong } });
        assert.equal(undone, 2);
        assert.match(err, line);
      });
    }

    test("Ctrl-C ends the examination early, and everything it made is removed", async () => {
      await using place = new S3Place(gateway);
      await using proxy = await FaultProxy.start(gateway.endpoint);
      proxy.strike({ operation: "PutObject", fault: "delay", times: Infinity });
      await using command = new Command(["doctor"], { env: envOf(place, proxy.endpoint) });
      await command.prints(/Small files/);
      command.signal("SIGINT");
      const { code, out, err } = await command.ended;
      assert.equal(code, 130);
      assert.match(err, /^fixity: stopping; a second signal exits at once$/m);
      assert.match(out, /^ {2}ok {4}Nothing of the probes is left behind$/m);
      assert.match(out, /^Stopped early: the remaining probes did not run\.$/m);
      assert.deepEqual([await place.objects(), await place.uploads()], [[], []]);
    });

    test("a closed output ends it early, too", async () => {
      await using place = new S3Place(gateway);
      await using command = new Command(["doctor"], { env: envOf(place) });
      await command.prints(/Small files/);
      command.stopReading();
      assert.equal((await command.ended).code, 141);
      assert.deepEqual([await place.objects(), await place.uploads()], [[], []]);
    });

    test("gc leaves recent uploads alone, and does not mention them", async () => {
      await using place = new S3Place(gateway);
      await place.abandon();
      const { code, out, err } = await runCommand(["gc"], { env: envOf(place) });
      assert.deepEqual([code, out, err], [0, "nothing to remove\n", ""]);
      assert.equal((await place.uploads()).length, 1);
    });

    test("verify reports an object whose content is not what its key states", async () => {
      await using place = new S3Place(gateway);
      await using store = place.store();
      const [good, bad] = [content(1000, 1), content(1000, 2)];
      for (const bytes of [good, bad]) await keep(store, bytes);
      const intact = await runCommand(["verify"], { env: envOf(place) });
      assert.deepEqual(intact, { code: 0, out: "2 blobs verified, 2 KiB: all intact\n", err: "" });
      await place.put(place.layout.blob(digestOf(bad)), randomBytes(1000));
      const { code, out } = await runCommand(["verify"], { env: envOf(place) });
      assert.equal(code, 1);
      assert.match(
        out,
        new RegExp(`^damaged {5}sha256:${digestOf(bad).hex}  1,000 bytes, its bytes are those of`, "m"),
      );
    });

    test("a forbidden object is unreadable; an unreachable bucket ends the run without a verdict", async () => {
      await using place = new S3Place(gateway);
      await using store = place.store();
      await keep(store, content(1000));
      await using proxy = await FaultProxy.start(gateway.endpoint);
      const env = envOf(place, proxy.endpoint);
      proxy.strike({ operation: "GetObject", fault: "status-403", times: Infinity });
      const refused = await runCommand(["verify"], { env });
      assert.equal(refused.code, 1);
      assert.match(refused.out, /^1 blob verified, 0 bytes: 1 unreadable$/m);
      await proxy.reset();
      proxy.strike({ operation: "ListObjectsV2", fault: "status-403", times: Infinity });
      const { code, out, err } = await runCommand(["verify", "--json"], { env });
      assert.deepEqual([code, out], [2, ""]);
      assert.match(err, /grant them s3:ListBucket\.$/m);
    });

    test("Ctrl-C ends verify, which reports how far it came", async () => {
      await using place = new S3Place(gateway);
      await using store = place.store();
      await keep(store, content(1000));
      await using proxy = await FaultProxy.start(gateway.endpoint);
      proxy.strike({ operation: "GetObject", fault: "stall", times: Infinity });
      await using command = new Command(["verify"], { env: envOf(place, proxy.endpoint) });
      while (proxy.counts["GetObject"] === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
      command.signal("SIGINT");
      const { code, out } = await command.ended;
      assert.deepEqual([code, out], [130, "stopped before the first blob was read\n"]);
    });
  });
}
