import { createServer, type RequestListener, type Server } from "node:http";
import { createRequire } from "node:module";
import type { FileStore } from "@tus/file-store";
import type { S3Store } from "@tus/s3-store";

/**
 * The part of `@tus/server` that is used here. Its own types need those of runtimes that are not
 * installed.
 */
interface TusModule {
  readonly Server: new (options: { readonly path: string; readonly datastore: FileStore | S3Store }) => {
    readonly handle: RequestListener;
  };
}

const tus = createRequire(import.meta.url)("@tus/server") as TusModule;

/**
 * `@tus/server` over one of its stores, as its readme shows, without Node's time limit on requests.
 */
export function tusServer(datastore: FileStore | S3Store): Server {
  const server = new tus.Server({ path: "/uploads", datastore });
  return createServer({ requestTimeout: 0 }, (request, response) => server.handle(request, response));
}
