import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { serve } from "./serve.ts";

const ETAG = '"d41d8cd98f00b204e9800998ecf8427e"';

/**
 * An S3 server that discards everything and reports success, so that only the cost of its client is
 * measured. Every list is empty, and every other read a 404.
 */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams: query } = new URL(request.url ?? "/", "http://sink");
  switch (request.method ?? "") {
    case "PUT": {
      const copied = query.has("partNumber") ? "CopyPartResult" : "CopyObjectResult";
      response.setHeader("ETag", ETAG);
      return void response.end(
        request.headers["x-amz-copy-source"] === undefined ? "" : result(copied, { ETag: ETAG }),
      );
    }
    case "POST": {
      const [, bucket = "", ...names] = pathname.split("/");
      const place = { Bucket: bucket, Key: names.join("/") };
      if (query.has("uploads")) {
        return void response.end(result("InitiateMultipartUploadResult", { ...place, UploadId: "an-upload" }));
      }
      const location = `http://${request.headers.host}${pathname}`;
      return void response.end(result("CompleteMultipartUploadResult", { Location: location, ...place, ETag: ETAG }));
    }
    case "GET":
      if (query.has("list-type")) return void response.end(result("ListBucketResult", { IsTruncated: "false" }));
      response.statusCode = 404;
      return void response.end();
    case "DELETE":
      response.statusCode = 204;
      return void response.end();
    default:
      response.statusCode = 404;
      return void response.end();
  }
}

function result(name: string, fields: Readonly<Record<string, string>>): string {
  const content = Object.entries(fields).map(
    ([field, text]) => `<${field}>${text.replaceAll('"', "&quot;")}</${field}>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?><${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content.join("")}</${name}>`;
}

await serve(
  createServer((request, response) => {
    request.resume().once("end", () => answer(request, response));
  }),
);
