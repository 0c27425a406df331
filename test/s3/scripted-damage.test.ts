/** The failures of S3 that end a resumable upload for good, and those that it survives. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { someOf } from "../helpers/full-run.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { failure } from "./scripted-bucket.ts";
import { ScriptedServer, type Step } from "./scripted-server.ts";

const MIB = 1024 * 1024;
const PART = 5 * MIB;
const PARTIAL = { "Content-Type": "application/partial-upload" };

/** A service over a scripted bucket. */
class Place implements AsyncDisposable {
  readonly s3: ScriptedServer;
  readonly service: Service;
  readonly bytes: Buffer = randomBytes(2 * PART + 3000);

  private constructor(s3: ScriptedServer, service: Service) {
    this.s3 = s3;
    this.service = service;
  }

  static async start(): Promise<Place> {
    const s3 = await ScriptedServer.start();
    // few attempts, so that permanent failures are reported soon
    const store = s3.store({ attempts: 2, timeouts: { retries: 2_000 } });
    return new Place(s3, await Service.start({ store }));
  }

  /** Creates an upload with all bytes except the last thousand. */
  async begin(isDeclared: boolean): Promise<string> {
    const { bytes } = this;
    const declared = {
      "Upload-Length": String(bytes.length),
      "Repr-Digest": `sha-256=:${Buffer.from(sha256(bytes), "hex").toString("base64")}:`,
    };
    const headers = { "Upload-Complete": "?0", ...(isDeclared && declared) };
    const body = bytes.subarray(0, -1000) as Uint8Array<ArrayBuffer>;
    const answer = await fetch(`${this.service.url}/uploads`, { method: "POST", headers, body });
    assert.equal(answer.status, 201, await answer.text());
    return this.service.url + (answer.headers.get("location") ?? "");
  }

  async append(at: string, from: number): Promise<Response> {
    const headers = { ...PARTIAL, "Upload-Offset": String(from), "Upload-Complete": "?1" };
    return fetch(at, { method: "PATCH", headers, body: this.bytes.subarray(from) as Uint8Array<ArrayBuffer> });
  }

  /** Asks for the offset and sends the rest, as a client does. */
  async finish(at: string): Promise<Response> {
    const head = await fetch(at, { method: "HEAD" });
    if (head.status !== 204) return head;
    if (head.headers.get("upload-complete") === "?1") return fetch(at, { headers: { Accept: "application/json" } });
    return this.append(at, Number(head.headers.get("upload-offset")));
  }

  async assertDamaged(at: string): Promise<void> {
    assert.equal((await fetch(at, { method: "HEAD" })).status, 410);
    for (const init of [
      {},
      { method: "PATCH", headers: { ...PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?0" } },
    ]) {
      const answer = await fetch(at, init);
      assert.equal(answer.status, 410);
      assert.equal(((await answer.json()) as { code: string }).code, "upload-damaged");
    }
  }

  /** The keys of all objects that are neither records nor blobs. */
  get leftovers(): readonly string[] {
    return [...this.s3.bucket.objects.keys()].filter((key) => key.includes(".tail-") || key.startsWith("tmp/"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    await this.service.fixity.store[Symbol.asyncDispose]();
    await this.s3[Symbol.asyncDispose]();
  }
}

const gone = failure(404, "NoSuchUpload");

/** Failures that are final. */
const FINAL: readonly (readonly [what: string, strike: (s3: ScriptedServer) => void])[] = [
  ...["InvalidPart", "InvalidPartOrder", "EntityTooSmall"].map(
    (code) =>
      [
        `the completion is refused twice with ${code}`,
        (s3: ScriptedServer) => s3.always("CompleteMultipartUpload", failure(400, code)),
      ] as const,
  ),
  ["another program has aborted the multipart upload", (s3) => s3.bucket.uploads.clear()],
  [
    "S3 has a part with other bytes than were sent",
    (s3) => {
      for (const { parts } of s3.bucket.uploads.values()) parts.set(1, Buffer.alloc(PART));
    },
  ],
  [
    "the tail is gone",
    (s3) => {
      for (const key of s3.bucket.objects.keys()) if (key.includes(".tail-")) s3.bucket.objects.delete(key);
    },
  ],
];

/** Failures of all requests of an operation that may end after a while. */
const TRANSIENT: readonly (readonly [operation: string, step: Step])[] = [
  ["CompleteMultipartUpload", failure(500, "InternalError")],
  ["CompleteMultipartUpload", failure(503, "SlowDown")],
  ["CompleteMultipartUpload", failure(403, "AccessDenied")],
  ["CompleteMultipartUpload", failure(412, "PreconditionFailed")],
  ["CompleteMultipartUpload", failure(404, "NoSuchKey")],
  ["CompleteMultipartUpload", "close"],
  ["UploadPart", failure(500, "InternalError")],
  ["UploadPart", failure(400, "InvalidPart")],
  ["UploadPart", "close"],
  ["HeadObject", failure(503, "SlowDown")],
  ["GetObject", failure(500, "InternalError")],
  ["PutObject", failure(503, "SlowDown")],
];

/** Responses that are final only if they are repeated. */
const ONCE: readonly (readonly [what: string, operation: string, step: Step])[] = [
  ["InvalidPart", "CompleteMultipartUpload", failure(400, "InvalidPart")],
  ["EntityTooSmall", "CompleteMultipartUpload", failure(400, "EntityTooSmall")],
  ["NoSuchUpload", "CompleteMultipartUpload", gone],
  ["NoSuchUpload", "UploadPart", gone],
  ["a completion whose answer was lost", "CompleteMultipartUpload", { done: "close" }],
  ["a completion that was answered with NoSuchUpload", "CompleteMultipartUpload", { done: gone }],
];

for (const isDeclared of [true, false]) {
  const kind = isDeclared ? "declared" : "not declared";
  void describe(`a resumable upload, ${kind}`, () => {
    for (const [what, strike] of someOf(FINAL, 2)) {
      void test(`ends with upload-damaged if ${what}`, async () => {
        await using place = await Place.start();
        const at = await place.begin(isDeclared);
        strike(place.s3);
        assert.equal((await place.append(at, place.bytes.length - 1000)).status, 410);
        await place.assertDamaged(at);
        assert.deepEqual(place.leftovers, []);
        assert.equal(place.s3.bucket.uploads.size, 0, "the multipart upload is aborted");
        assert.equal(await place.service.count(), 0);
      });
    }

    for (const [operation, step] of someOf(TRANSIENT, 3)) {
      const how = typeof step === "object" && step !== null && "status" in step ? step.status : "no answer";
      const code = /<Code>(\w+)/.exec(
        typeof step === "object" && step !== null && "body" in step ? String(step.body) : "",
      );
      void test(`survives ${operation} with ${how} ${code?.[1] ?? ""}`, async () => {
        await using place = await Place.start();
        const at = await place.begin(isDeclared);
        place.s3.always(operation, step);
        for (let round = 0; round < 2; round += 1) {
          const { status } = await place.finish(at);
          assert(status !== 410, `${status}`);
        }
        place.s3.always(operation, null);
        const finished = await place.finish(at);
        assert.equal(finished.ok, true, await finished.text());
        assert.equal(await place.service.count(), 1);
      });
    }

    for (const [what, operation, step] of someOf(ONCE, 2)) {
      void test(`survives ${what} in one response to ${operation}`, async () => {
        await using place = await Place.start();
        const at = await place.begin(isDeclared);
        place.s3.once(operation, step);
        await place.append(at, place.bytes.length - 1000);
        const finished = await place.finish(at);
        assert.equal(finished.ok, true, await finished.text());
        assert.equal(await place.service.count(), 1);
      });
    }
  });
}
