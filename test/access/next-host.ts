/** A small host for `examples/next-route.ts`: calls its functions by method, as Next does. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { honoListener } from "../helpers/hosts.ts";

type Handler = (request: Request, context: unknown) => Promise<Response>;

const file: string = "../../examples/next-route.ts";
const route = (await import(file)) as Record<string, Handler>;
const fetch = (request: Request): Promise<Response> | Response => {
  const handle = route[request.method];
  if (handle === undefined) return new Response(null, { status: 405 });
  const path = new URL(request.url).pathname.split("/").slice(2);
  return handle(request, { params: Promise.resolve({ path }) });
};
const server = createServer(await honoListener(fetch));
server.listen(Number(process.env["PORT"]), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
