/**
 * A bucket with any number of objects that are only listed: an S3 server for `bench/listing.ts`, as a
 * process of its own.
 *
 *     node bench/servers/listed-bucket.ts COUNT      prints its URL, and serves until its input ends
 *
 * The names of blobs are digests in hex, in their order. Everything else in the bucket is empty, and
 * what is written is accepted and dropped.
 */
import { randomUUID } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const PAGE_OBJECTS = 1000;
const OBJECT = "<Size>5</Size><ETag>&quot;0&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified>";

const count = Number(process.argv[2]);

const server = createServer((request, response) => {
  const { pathname, searchParams: query } = new URL(request.url ?? "", "http://localhost");
  request.resume();
  if (query.has("uploads")) return answer(response, 200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>");
  if (query.has("list-type")) return answer(response, 200, pageOf(query));
  if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 200, "");
  answer(response, pathname.split("/").length > 2 ? 404 : 200, "<Error><Code>NoSuchKey</Code></Error>");
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.stdin.resume().once("end", () => process.exit());

function pageOf(query: URLSearchParams): string {
  const prefix = query.get("prefix") ?? "";
  const hasBlobs = prefix.endsWith("blobs/");
  const first = Number(query.get("continuation-token") ?? 0);
  const end = hasBlobs ? Math.min(first + Number(query.get("max-keys") ?? PAGE_OBJECTS), count) : 0;
  let objects = "";
  for (let index = first; index < end; index += 1) {
    const hex = index.toString(16).padStart(8, "0").padEnd(64, "5");
    objects += `<Contents><Key>${prefix}${hex}</Key>${OBJECT}</Contents>`;
  }
  const next = end < count && hasBlobs ? `<NextContinuationToken>${end}</NextContinuationToken>` : "";
  return `<ListBucketResult><IsTruncated>${next !== ""}</IsTruncated>${next}${objects}</ListBucketResult>`;
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "Content-Type": "application/xml",
    "Content-Length": Buffer.byteLength(text),
    "X-Amz-Request-Id": randomUUID(),
    ETag: '"0"',
  });
  response.end(text);
}
