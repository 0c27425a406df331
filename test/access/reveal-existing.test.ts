/** Where reads are not public, an upload of stored content cannot be told from one of new content. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { type RawAnswer, RawClient } from "../helpers/raw-client.ts";
import { fileHead, formOf, Service, sha256 } from "../helpers/service.ts";

const CONTENT = "content that is stored, or not";
const LINK = `/uploads/${sha256(CONTENT)}.txt`;
const DIGEST = `Repr-Digest: sha-256=:${Buffer.from(sha256(CONTENT), "hex").toString("base64")}:`;
const TUS = "Tus-Resumable: 1.0.0";

const FORM = formOf([{ head: fileHead("a.txt"), content: CONTENT }]);

interface Upload {
  readonly line: string;
  readonly fields: readonly string[];
  readonly body?: string;
}

const UPLOADS: Readonly<Record<string, Upload>> = {
  "PUT to a name": { line: "PUT /uploads/a.txt", fields: [] },
  "PUT to a link": { line: `PUT ${LINK}`, fields: [] },
  "plain POST": { line: "POST /uploads?filename=a.txt", fields: [] },
  form: {
    line: "POST /uploads",
    fields: [`Content-Type: multipart/form-data; boundary=${FORM.boundary}`],
    body: FORM.body.toString(),
  },
  "upload of the draft": { line: "POST /uploads?filename=a.txt", fields: ["Upload-Complete: ?1"] },
  "upload of tus": {
    line: "POST /uploads",
    fields: [TUS, `Upload-Length: ${CONTENT.length}`, "Content-Type: application/offset+octet-stream"],
  },
};

const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  "as it is": [],
  "with its digest announced": [DIGEST],
  "unless it exists": ["If-None-Match: *"],
  "with its digest, unless it exists": [DIGEST, "If-None-Match: *"],
  "after 100 Continue": ["Expect: 100-continue"],
  "with its digest, after 100 Continue": [DIGEST, "Expect: 100-continue"],
  "with its digest, unless it exists, after 100 Continue": [DIGEST, "If-None-Match: *", "Expect: 100-continue"],
};

interface Outcome {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
  /** Statuses of the interim responses. */
  readonly interim: readonly number[];
  /** Bytes of content that the server has read. */
  readonly read: number;
}

async function upload(isStored: boolean, { line, fields, body = CONTENT }: Upload): Promise<Outcome> {
  const store = memoryStore();
  if (isStored) await createFixity({ store }).put(Buffer.from(CONTENT), { filename: "a.txt" });
  const ended = Promise.withResolvers<number>();
  await using service = await Service.start({
    store,
    reads: "signed",
    linkKeys: ["a key for links that is long enough!!"],
    onAnswer: (_exchange, _answer, { bytesReceived }) => ended.resolve(bytesReceived),
    log: () => {},
  });
  await using client = await RawClient.open(service.port);
  const head = [`${line} HTTP/1.1`, "Host: x", `Content-Length: ${body.length}`, ...fields];
  await client.send(`${head.join("\r\n")}\r\n\r\n`);
  const interim: number[] = [];
  let answer: RawAnswer | null = null;
  if (fields.includes("Expect: 100-continue")) {
    answer = await client.answer();
    if (answer.status < 200) interim.push(answer.status);
  }
  if (answer === null || answer.status < 200) {
    await client.send(body);
    do answer = await client.answer();
    while (answer.status < 200 && interim.push(answer.status) > 0);
  }
  const shown = new Map(answer.fields);
  for (const name of ["date", "x-request-id", "upload-expires"]) shown.delete(name);
  const location = shown.get("location");
  if (location?.includes("/in-progress/") === true) shown.set("location", "an upload");
  // an upload expires so many seconds after it was created
  shown.set("upload-limit", (shown.get("upload-limit") ?? "").replace(/max-age=\d+/, "max-age"));
  return {
    status: answer.status,
    fields: Object.fromEntries(shown),
    body: answer.body.toString().replace(/[\w-]+-[0-9a-z]+(?="})/, ""),
    interim,
    read: await ended.promise,
  };
}

for (const [name, request] of Object.entries(UPLOADS)) {
  test(`${name}: existing content is answered like new content, after all of it was read`, async () => {
    for (const [variant, more] of Object.entries(VARIANTS)) {
      const sent = { ...request, fields: [...request.fields, ...more] };
      const [fresh, existing] = [await upload(false, sent), await upload(true, sent)];
      assert.deepEqual(existing, fresh, variant);
      if (fresh.status < 300) assert.equal(existing.read, (request.body ?? CONTENT).length, variant);
    }
  });
}
