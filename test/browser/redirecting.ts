import type { RequestListener } from "node:http";
import { listen } from "../helpers/listen.ts";
import { sha256 } from "../helpers/service.ts";

/** The bytes of the one file. */
export const TEXT = "the bytes of the file";
/** Header fields of a page that other origins must not see. */
export const KEYS = { Authorization: "Bearer secret", "X-Api-Key": "secret" };
export const retry = { attempts: 0 };

/** A service that redirects every request to another origin, where the file is. */
export interface Redirecting extends AsyncDisposable {
  /** The service's collection. */
  readonly endpoint: string;
  /** The file's digest. */
  readonly hex: string;
  /** Requests to the service: the method, then the names of the fields of {@link KEYS} that they had. */
  readonly here: string[];
  /** Requests to the other origin. */
  readonly there: string[];
}

/** Both allow every page everything, as a bucket with a careless policy does. */
export async function startRedirecting(): Promise<Redirecting> {
  const here: string[] = [];
  const there: string[] = [];
  const hex = sha256(TEXT);
  const target = await listen(
    allowing(there, (_, response) => {
      const fields = { ETag: `"${hex}"`, "Content-Type": "text/plain", "Content-Length": TEXT.length };
      response.writeHead(200, fields).end(TEXT);
    }),
  );
  const service = await listen(
    allowing(here, ({ url }, response) => {
      response.writeHead(307, { Location: `${target.url}${url}` }).end();
    }),
  );
  return {
    endpoint: `${service.url}/uploads`,
    hex,
    here,
    there,
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    },
  };
}

function allowing(seen: string[], listener: RequestListener): RequestListener {
  return (request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Headers", "*, Authorization");
    response.setHeader("Access-Control-Allow-Methods", "*");
    response.setHeader("Access-Control-Expose-Headers", "*");
    request.resume();
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    const secrets = ["authorization", "x-api-key"].filter((name) => name in request.headers);
    seen.push([request.method, ...secrets].join(" "));
    listener(request, response);
  };
}
