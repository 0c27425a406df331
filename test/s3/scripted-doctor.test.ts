/** The doctor's findings for servers that differ from AWS. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Finding } from "../../src/stores/doctor/finding.ts";
import type { S3StoreOptions } from "../../src/stores/s3/options.ts";
import { S3Store } from "../../src/stores/s3/s3-store.ts";
import { failure, hiddenAtFirst, type ScriptedBucket, type ScriptedRequest } from "./scripted-bucket.ts";
import { ScriptedServer, type Step } from "./scripted-server.ts";

const MIB = 1024 * 1024;

type Script = (request: ScriptedRequest) => Step;

/** Examines a server that follows a script for some operations, and behaves like AWS otherwise. */
async function examine(
  scripts: Readonly<Record<string, Script>>,
  options: Partial<S3StoreOptions> = {},
  arrange: (bucket: ScriptedBucket) => void = () => undefined,
) {
  await using server = await ScriptedServer.start();
  arrange(server.bucket);
  for (const [operation, script] of Object.entries(scripts)) server.always(operation, script);
  await using store = new S3Store(server.options(options));
  const findings = await Array.fromAsync(store.diagnose());
  const of = (probe: string): Pick<Finding, "verdict" | "found"> & { readonly remedy: string } => {
    const found = findings.find((finding) => finding.probe === probe);
    assert.ok(found, `no finding of ${probe}`);
    return { ...found, remedy: found.remedy ?? "" };
  };
  return { findings, of, server };
}

/** The probes that are not ok, except those that no scripted bucket passes. */
function amiss(findings: readonly Finding[]): Record<string, string> {
  const bad = findings.filter(({ verdict, probe }) => verdict !== "ok" && !NOT_SCRIPTED.has(probe));
  return Object.fromEntries(bad.map(({ probe, verdict }) => [probe, verdict]));
}

/** Probes that no scripted bucket passes. */
const NOT_SCRIPTED: ReadonlySet<string> = new Set(["https", "presigned", "presigned-range", "cors"]);

const without =
  (...names: readonly string[]): Script =>
  ({ headers }) => {
    for (const name of names) delete headers[name];
    return null;
  };

/** Refuses requests that have one of these fields. */
const refusing =
  (names: readonly string[], status: number, code: string): Script =>
  ({ headers }) =>
    names.some((name) => headers[name] !== undefined) ? failure(status, code) : null;

describe("conditions", () => {
  test("that are ignored: a note and a warning", async () => {
    const { of } = await examine({ PutObject: without("if-none-match", "if-match") });
    assert.equal(of("put-if-absent").verdict, "note");
    assert.equal(of("put-if-absent").found, "It is ignored: the object was overwritten.");
    assert.equal(of("put-if-match").verdict, "warning");
    assert.match(of("put-if-match").remedy, /^Nothing keeps two servers from continuing the same upload/);
  });

  test("that the server does not know: a note and a warning", async () => {
    const { of } = await examine({ PutObject: refusing(["if-none-match", "if-match"], 501, "NotImplemented") });
    assert.deepEqual([of("put-if-absent").verdict, of("put-if-match").verdict], ["note", "warning"]);
    assert.match(of("put-if-absent").remedy, /^fixity omits it and looks before it stores.*once.* are refused\.$/);
    assert.match(of("put-if-match").remedy, /^fixity reads the upload's record first instead/);
  });

  for (const [status, code] of [
    [412, "PreconditionFailed"],
    [409, "ConditionalRequestConflict"],
  ] as const) {
    test(`that are always refused, with ${status}: a note and a warning`, async () => {
      const { of } = await examine({ PutObject: refusing(["if-none-match", "if-match"], status, code) });
      assert.equal(of("put-if-absent").verdict, "note");
      assert.equal(of("put-if-absent").found, "It is refused although there is no object.");
      assert.equal(of("put-if-match").verdict, "warning");
      assert.equal(of("put-if-match").found, "It is always refused, in either form.");
      assert.match(of("put-if-match").remedy, /^fixity reads the upload's record first instead.* without versioning/);
    });
  }

  test("that the server refuses with 400: they are omitted when files are stored", async () => {
    const { of } = await examine({ PutObject: refusing(["if-none-match"], 400, "InvalidArgument") });
    assert.equal(of("put-if-absent").verdict, "note");
    assert.match(of("put-if-absent").remedy, /^fixity omits it and looks before it stores/);
  });
});

test("a server that stores bytes that changed in transit: a warning", async () => {
  const { of } = await examine({
    PutObject: ({ headers }) => {
      headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
      return null;
    },
  });
  assert.equal(of("digest-refused").verdict, "warning");
  assert.equal(of("get").verdict, "ok");
});

test("a bucket that keeps versions: a note with the lifecycle rules that help", async () => {
  const marked = { done: { status: 204, headers: { "x-amz-delete-marker": "true" } } };
  const { of } = await examine({ DeleteObject: () => marked });
  assert.equal(of("versions").verdict, "note");
  assert.match(of("versions").remedy, /NoncurrentVersionExpiration.* see "Versioned buckets" in docs\/s3\.md\.$/);
});

for (const [what, refusal] of [
  ["AWS", failure(400, "InvalidRequest", "", "Content-MD5 OR x-amz-checksum- HTTP header is required.")],
  ["MinIO", failure(400, "MissingContentMD5")],
] as const) {
  test(`a bucket that stores nothing without Content-MD5, worded like ${what}: a note`, async () => {
    const wantsMd5: Script = ({ headers }) => (headers["content-md5"] === undefined ? refusal : null);
    const { of, findings } = await examine({ PutObject: wantsMd5, UploadPart: wantsMd5 });
    assert.deepEqual([of("put").verdict, of("put").found], ["note", "only with Content-MD5, which fixity sends"]);
    const amiss = findings.filter(({ verdict }) => verdict !== "ok").map(({ probe }) => probe);
    assert.deepEqual(
      amiss.filter((probe) => !NOT_SCRIPTED.has(probe)),
      ["put"],
    );
  });
}

for (const [field, accepted, told, remedy] of [
  ["x-amz-server-side-encryption", ["AES256"], "AES256", /PutBucketEncryption/],
  ["x-amz-server-side-encryption", ["aws:kms"], "aws:kms", /PutBucketEncryption/],
  ["x-amz-server-side-encryption", ["AES256", "aws:kms"], "AES256 or aws:kms", /PutBucketEncryption/],
  ["x-amz-acl", ["bucket-owner-full-control"], "bucket-owner-full-control", /BucketOwnerEnforced/],
] as const) {
  test(`a policy that demands ${field}: ${told} is reported, with what to change`, async () => {
    const policy: Script = ({ headers }) =>
      accepted.some((value) => headers[field] === value) ? null : failure(403, "AccessDenied");
    const { of, findings } = await examine({ PutObject: policy, CreateMultipartUpload: policy, CopyObject: policy });
    for (const [probe, operation] of [
      ["put", "PutObject"],
      ["multipart", "CreateMultipartUpload"],
    ] as const) {
      assert.equal(of(probe).verdict, "failure");
      assert.equal(
        of(probe).found,
        `${operation} was refused (AccessDenied), but an object with ${field}: ${told} is stored: ` +
          "the bucket's policy requires this header, which fixity does not send.",
      );
      assert.match(of(probe).remedy, remedy);
    }
    assert.deepEqual(
      findings.filter(({ permission }) => permission !== null),
      [],
    );
    assert.equal(of("clear").verdict, "ok");
  });
}

test("keys that may not store anything, whatever the header: the permission is missing", async () => {
  const { findings } = await examine({ PutObject: () => failure(403, "AccessDenied") });
  const finding = findings.find(({ probe }) => probe === "put");
  assert.equal(finding?.found, "PutObject was refused (AccessDenied): the credentials lack s3:PutObject.");
  assert.equal(finding?.permission, "s3:PutObject");
});

describe("listings", () => {
  const late: readonly (readonly [operation: string, probes: readonly string[]])[] = [
    ["ListObjectsV2", ["list", "list-pages"]],
    ["ListMultipartUploads", ["list-uploads"]],
  ];
  for (const [operation, probes] of late) {
    test(`that are late (${operation}): a warning that nothing is lost`, async () => {
      const { of, findings } = await examine({}, {}, (bucket) => {
        const isSeen = hiddenAtFirst(2);
        bucket.isListed = (key, asked) => asked !== operation || isSeen(key);
      });
      const [first = ""] = probes;
      assert.deepEqual(amiss(findings), { [first]: "warning" });
      assert.match(of(first).found ?? "", /^listed \d+\.\d s late$/);
      assert.match(of(first).remedy, /^Nothing is lost: .* Cleaning up comes that much later/);
      for (const probe of probes.slice(1)) assert.equal(of(probe).verdict, "ok");
    });
  }

  test("that stay incomplete: a warning that states what is not cleaned up", async () => {
    const { of, findings } = await examine({}, { timeouts: { retries: 200 } }, (bucket) => {
      bucket.isListed = () => false;
    });
    assert.deepEqual(amiss(findings), { list: "warning", "list-pages": "skipped", "list-uploads": "warning" });
    assert.equal(of("list").found, "An object that was stored seconds ago is not listed.");
    assert.match(of("list").remedy, /^Files are stored and read all the same\. .*may be removed\.$/);
  });

  test("that still contain what was removed: nothing is reported as left behind", async () => {
    const { of } = await examine({}, {}, (bucket) => {
      const answer = bucket.answer.bind(bucket);
      const ghosts = new Map(bucket.objects);
      bucket.answer = (request) => {
        for (const [key, object] of bucket.objects) ghosts.set(key, object);
        if (request.operation !== "ListObjectsV2") return answer(request);
        const present = new Map(bucket.objects);
        for (const [key, object] of ghosts) bucket.objects.set(key, object);
        const listed = answer(request);
        for (const key of ghosts.keys()) if (!present.has(key)) bucket.objects.delete(key);
        return listed;
      };
    });
    assert.deepEqual([of("clear").verdict, of("clear").found], ["ok", null]);
  });

  test("that do not contain yet what could not be removed: it is named", async () => {
    const { of } = await examine(
      { DeleteObject: () => failure(403, "AccessDenied") },
      { timeouts: { retries: 200 } },
      (bucket) => {
        bucket.isListed = () => false;
      },
    );
    assert.equal(of("clear").verdict, "warning");
    assert.match(of("clear").found ?? "", /^Could not be removed: tmp\/doctor-\w+-/);
  });

  for (const [operation, probe, verdict] of [
    ["ListObjectsV2", "list", "failure"],
    ["ListMultipartUploads", "list-uploads", "warning"],
  ] as const) {
    test(`that fail (${operation}): a ${verdict}`, async () => {
      const { of } = await examine({
        [operation]: ({ query }) => (query.get("prefix")?.includes("doctor-") ? failure(400, "InvalidRequest") : null),
      });
      assert.equal(of(probe).verdict, verdict);
    });
  }
});

describe("objects that are shown late", () => {
  for (const [operation, probes] of [
    ["HeadObject", ["head", "complete"]],
    ["GetObject", ["get"]],
  ] as const) {
    test(`to ${operation}: a warning that states how late, and what that means`, async () => {
      const { of, findings } = await examine({}, {}, (bucket) => {
        const isSeen = hiddenAtFirst(2);
        bucket.isShown = (request, key) => request.operation !== operation || isSeen(key);
      });
      assert.deepEqual(amiss(findings), Object.fromEntries(probes.map((probe) => [probe, "warning"])));
      for (const probe of probes) {
        assert.match(of(probe).found ?? "", /^shown \d+\.\d s late$/);
        assert.match(of(probe).remedy, /^Files are stored and acknowledged all the same\./);
      }
    });
  }

  test("to both HEAD and GET: the same warnings", async () => {
    const { findings } = await examine({}, {}, (bucket) => {
      const isSeen = hiddenAtFirst(2);
      bucket.isShown = ({ operation }, key) => !/^(Head|Get)Object$/.test(operation) || isSeen(`${operation} ${key}`);
    });
    assert.deepEqual(amiss(findings), { head: "warning", get: "warning", complete: "warning" });
  });

  test("to copies: a failure, because files that need one are not stored", async () => {
    const { of } = await examine({}, {}, (bucket) => {
      const isSeen = hiddenAtFirst(2);
      bucket.isShown = ({ operation }, key) => operation !== "CopyObject" || isSeen(key);
    });
    assert.equal(of("copy").verdict, "failure");
    assert.equal(of("copy").found, "An object that was stored a moment ago is not found by the copy (404 NoSuchKey).");
  });

  test("never: a failure", async () => {
    const { of } = await examine({}, { timeouts: { retries: 200 } }, (bucket) => {
      bucket.isShown = ({ operation }) => operation !== "HeadObject" && operation !== "GetObject";
    });
    for (const probe of ["head", "get", "complete"]) assert.equal(of(probe).verdict, "failure", probe);
  });

  test("after their removal: a warning", async () => {
    const { of } = await examine({}, {}, (bucket) => {
      const answer = bucket.answer.bind(bucket);
      const isGone = hiddenAtFirst(2);
      const removed = new Map<string, () => void>();
      bucket.answer = (request) => {
        const object = bucket.objects.get(request.key);
        if (request.operation === "DeleteObject" && object !== undefined) {
          removed.set(request.key, () => bucket.objects.set(request.key, object));
        }
        const restore = request.operation === "HeadObject" ? removed.get(request.key) : undefined;
        if (restore === undefined || isGone(request.key)) return answer(request);
        restore();
        const shown = answer(request);
        bucket.objects.delete(request.key);
        return shown;
      };
    });
    assert.equal(of("delete").verdict, "warning");
    assert.match(of("delete").found ?? "", /^gone \d+\.\d s late$/);
    assert.equal(of("clear").verdict, "ok");
  });
});

describe("fewer parts than UPLOAD_BUCKET_MAX_PARTS", () => {
  const numbered = ({ query }: ScriptedRequest) => Number(query.get("partNumber"));
  const named = ({ content }: ScriptedRequest) =>
    [...content.toString().matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => Number(number));
  const set: readonly (readonly [most: number, options: Partial<S3StoreOptions>, above: string, size: RegExp])[] = [
    [
      1_000,
      { partSize: 8 * MIB },
      "7.8 GiB",
      /^Set UPLOAD_BUCKET_MAX_PARTS=1000: files can then have 3\d\.?\d? GiB\. .* is 8 MiB,/,
    ],
    [3, { partSize: 8 * MIB }, "24 MiB", /^Set UPLOAD_BUCKET_MAX_PARTS=3: files can then have \d\d\.?\d? MiB\. /],
    [3, { fixedPartSize: true }, "15 MiB", /^Set UPLOAD_BUCKET_MAX_PARTS=3: files can then have 15 MiB\. .* is 5 MiB,/],
    [499, { maxParts: 500 }, "2.4 GiB", /^Set UPLOAD_BUCKET_MAX_PARTS=499: /],
  ];
  for (const [most, options, above, remedy] of set) {
    const { maxParts = 10_000 } = options;
    test(`${most} of ${maxParts}, refused as a part: a warning with the largest number, sizes and settings`, async () => {
      const { of, findings, server } = await examine(
        { UploadPart: (request) => (numbered(request) > most ? failure(400, "InvalidArgument") : null) },
        options,
      );
      assert.deepEqual(amiss(findings), { "part-limit": "warning" });
      assert.equal(
        of("part-limit").found,
        `A part with the number ${maxParts} is refused (InvalidArgument); ${most} is the last number that is accepted. ` +
          `With UPLOAD_BUCKET_MAX_PARTS=${maxParts}, files above ${above} fail after their bytes were sent.`,
      );
      assert.match(of("part-limit").remedy, remedy);
      assert.ok(server.operations.filter((operation) => operation === "UploadPart").length < 30);
    });
  }

  test("refused by an error of the server at high numbers", async () => {
    const { of } = await examine(
      {
        UploadPart: (request) => (numbered(request) > 100 ? failure(500, "InternalError") : null),
      },
      { maxParts: 110 },
    );
    assert.match(
      of("part-limit").found ?? "",
      /^A part with the number 110 is refused \(InternalError\); 100 is the last/,
    );
  });

  for (const code of ["InvalidPart", "InvalidArgument"]) {
    test(`refused by the completion for the part number (${code})`, async () => {
      const { of, findings } = await examine({
        CompleteMultipartUpload: (request) =>
          named(request).some((number) => number > 1_000) ? failure(400, code) : null,
      });
      assert.deepEqual(amiss(findings), { "complete-limit": "warning" });
      assert.match(
        of("complete-limit").found ?? "",
        new RegExp(`^A completion with the part number 10000 is refused \\(${code}\\); 1000 is the last number`),
      );
      assert.match(of("complete-limit").remedy, /^Set UPLOAD_BUCKET_MAX_PARTS=1000: /);
    });
  }

  test("refused by the completion for the number of parts", async () => {
    const { of, findings } = await examine({
      CompleteMultipartUpload: (request) => (named(request).length > 3 ? failure(400, "TooManyParts") : null),
    });
    assert.deepEqual(amiss(findings), { "complete-limit": "warning" });
    assert.match(
      of("complete-limit").found ?? "",
      /^A completion that names 10000 parts is refused \(TooManyParts\); it may name at most 3/,
    );
  });

  test("is not suspected if uploads must begin with part number 1", async () => {
    const { findings } = await examine({
      CompleteMultipartUpload: (request) => (named(request)[0] === 1 ? null : failure(400, "InvalidPartOrder")),
    });
    assert.deepEqual(amiss(findings), {});
  });

  test("exactly that many: no finding", async () => {
    const { findings } = await examine(
      { UploadPart: (request) => (numbered(request) > 1_000 ? failure(400, "InvalidArgument") : null) },
      { maxParts: 1_000 },
    );
    assert.deepEqual(amiss(findings), {});
  });
});

test("findings state the sizes of the settings", async () => {
  const { of } = await examine(
    { UploadPart: () => failure(400, "InvalidRequest"), UploadPartCopy: () => failure(501, "NotImplemented") },
    { partSize: 6 * MIB },
  );
  assert.equal(
    of("multipart").remedy,
    "Only files that fit one part (UPLOAD_BUCKET_PART_SIZE, 6 MiB) could be stored.",
  );
  const equal = await examine(
    {
      CompleteMultipartUpload: ({ content }) =>
        content.includes("<PartNumber>3<") ? failure(400, "InvalidPart") : null,
    },
    { partSize: 6 * MIB, maxParts: 1_000 },
  );
  assert.match(equal.of("unequal-parts").remedy, /1000 parts of UPLOAD_BUCKET_PART_SIZE \(6 MiB\), 5\.9 GiB in all\.$/);
});

test("a server that requires equal parts: a warning, or a note if that is set", async () => {
  const threeParts: Script = ({ content }) => (content.includes("<PartNumber>3") ? failure(400, "InvalidPart") : null);
  const { of } = await examine({ CompleteMultipartUpload: threeParts });
  assert.equal(of("complete").verdict, "ok");
  assert.deepEqual([of("unequal-parts").verdict, of("unequal-parts").found], ["warning", "Refused (InvalidPart)."]);
  assert.match(of("unequal-parts").remedy, /UPLOAD_BUCKET_EQUAL_PARTS=yes/);
  const told = await examine({ CompleteMultipartUpload: threeParts }, { fixedPartSize: true });
  assert.equal(told.of("unequal-parts").verdict, "note");
});

test("a server without part copies: a warning, and the probes that need them are skipped", async () => {
  const { of } = await examine({ UploadPartCopy: () => failure(501, "NotImplemented") });
  assert.deepEqual(
    [of("copy").verdict, of("copy-parts").verdict, of("unequal-parts").verdict],
    ["ok", "warning", "skipped"],
  );
});

for (const [hours, verdict, found] of [
  [-1, "failure", /^This machine is 3\d{3} s ahead\.$/],
  [1, "failure", /^This machine is 3\d{3} s behind\.$/],
  [0.1, "warning", /^This machine is 3\d{2} s behind\.$/],
  [0, "ok", /^$/],
] as const) {
  test(`a clock that is off by ${hours} hours: ${verdict}`, async () => {
    const date = new Date(Date.now() + hours * 3_600_000).toUTCString();
    // a request without credentials
    const clock: Script = ({ headers }) =>
      headers.authorization === undefined ? { status: 403, headers: { date } } : null;
    const { of } = await examine({ ListObjectsV2: clock });
    assert.equal(of("clock").verdict, verdict);
    assert.match(of("clock").found ?? "", found);
  });
}

test("the examination of a server that does not speak S3 ends at once", async () => {
  const { findings, server } = await examine({ ListObjectsV2: () => ({ status: 404, body: "<html>Not here</html>" }) });
  assert.match(findings.at(-1)?.found ?? "", /does not speak S3\.$/);
  assert.deepEqual(new Set(server.operations), new Set(["ListObjectsV2"]));
});

test("an unanswered completion is never met by an abort", async () => {
  const { of, server } = await examine({ CompleteMultipartUpload: () => "close" });
  assert.equal(of("complete").verdict, "failure");
  const aborted = server.seen.filter(({ operation }) => operation === "AbortMultipartUpload").map(({ key }) => key);
  assert.deepEqual(
    aborted.filter((key) => key.endsWith("-large")),
    [],
  );
  assert.equal(aborted.length, 1, "only the one that nobody completes");
});

test("a server that closes connections during requests", async () => {
  const { of, findings } = await examine({ PutObject: () => "close", UploadPart: () => "close" });
  assert.deepEqual([of("put").verdict, of("multipart").verdict, of("get").verdict], ["failure", "failure", "skipped"]);
  assert.equal(findings.at(-1)?.probe, "clear");
});
