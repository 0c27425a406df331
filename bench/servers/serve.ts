import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Listens on loopback, tells the port to the parent, and its peak memory when asked. */
export async function serve(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  process.on("message", () => process.send?.({ maxRss: process.resourceUsage().maxRSS * 1024 }));
  process.send?.({ port: (server.address() as AddressInfo).port });
}
