import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** The resources that a process has used so far. */
export interface Usage {
  /** Peak resident memory, in bytes. */
  readonly peakMemory: number;
  /** Seconds of CPU, user and system, of all threads. */
  readonly cpu: number;
}

/** Listens on loopback, and reports the port and, on request, the usage to the parent process. */
export async function serve(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  process.on("message", () => process.send?.(usage()));
  process.send?.({ port: (server.address() as AddressInfo).port });
}

function usage(): Usage {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  return { peakMemory: maxRSS * 1024, cpu: (userCPUTime + systemCPUTime) / 1e6 };
}
