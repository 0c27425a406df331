import { once } from "node:events";
import { type IncomingMessage, request, type RequestOptions } from "node:http";
import { buffer } from "node:stream/consumers";
import { fileHead, formOf, sha256 } from "./service.ts";

/** Every way to upload a file. */
export const ROUTES = ["form", "page form", "raw", "chunked", "put", "put after 100"] as const;
export type Route = (typeof ROUTES)[number];

/** The result of an upload as the client received it. */
export interface Told {
  readonly status: number;
  /** The link's path if the upload was acknowledged (201, 200, or 303 for a page's form), else `null`. */
  readonly link: string | null;
  /** The problem's code if it was not. */
  readonly code: string | null;
}

/** Uploads over a new connection. Rejects if it breaks before the whole response has arrived. */
export async function uploadBy(route: Route, port: number, content: Buffer): Promise<Told> {
  const { body, chunked, ...options } = requestOf(route, content);
  const outgoing = request({ host: "127.0.0.1", port, agent: false, ...options });
  const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
  // with an Expect, the server may send a final response before the content
  if (options.headers?.["expect"] === undefined) send();
  else outgoing.once("continue", send);
  function send(): void {
    if (!chunked) return void outgoing.end(body);
    for (let start = 0; start < body.length; start += 100_000) outgoing.write(body.subarray(start, start + 100_000));
    outgoing.end();
  }
  const [response] = await answered;
  // after the response, a failure to send the rest does not matter
  outgoing.on("error", () => null);
  return toldBy(response);
}

/** The path of a link to `content`. */
export function linkTo(content: Buffer): string {
  return `/uploads/${sha256(content)}`;
}

interface Sending extends RequestOptions {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
  readonly chunked: boolean;
}

function requestOf(route: Route, content: Buffer): Sending {
  if (route === "form" || route === "page form") return formRequest(content, route === "form" ? "*/*" : "text/html");
  const post = { method: "POST", path: "/uploads", body: content, chunked: false };
  const put = { ...post, method: "PUT", path: linkTo(content) };
  const length = { "content-length": content.length };
  return {
    raw: { ...post, headers: length },
    chunked: { ...post, chunked: true, headers: { "transfer-encoding": "chunked" } },
    put: { ...put, headers: length },
    "put after 100": { ...put, headers: { ...length, expect: "100-continue" } },
  }[route];
}

function formRequest(content: Buffer, accept: string): Sending {
  const note = { head: 'Content-Disposition: form-data; name="note"', content: "behind the file" };
  const { boundary, body } = formOf([{ head: fileHead("a"), content }, note]);
  const type = `multipart/form-data; boundary=${boundary}`;
  const headers = { "content-type": type, "content-length": body.length, accept };
  return { method: "POST", path: "/uploads", body, chunked: false, headers };
}

async function toldBy(response: IncomingMessage): Promise<Told> {
  const status = response.statusCode ?? 0;
  const body = (await buffer(response)).toString();
  if ([200, 201, 303].includes(status)) return { status, link: response.headers.location ?? null, code: null };
  const isProblem = response.headers["content-type"] === "application/problem+json";
  // a browser's form is answered with a page
  const code = isProblem ? (JSON.parse(body) as { code: string }).code : /<code>([a-z-]+)<\/code>/.exec(body)?.[1];
  return { status, link: null, code: code ?? null };
}
