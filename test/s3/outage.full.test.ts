import { ROUTE_NAMES, testOutage } from "./outage.ts";

const MIB = 1024 * 1024;

testOutage("uploads by every route survive an object store that is away for 35 seconds", {
  routes: ROUTE_NAMES,
  // More than the window in which the pace of a sender is measured, so that one that waits for us must not count as slow.
  durationMs: 35_000,
  largeSize: 16 * MIB,
  largeDuring: 3,
  // The files are 384 MiB, of which the server may hold 48 MiB; the rest is garbage and the buffers of sockets.
  memoryGrowth: 144 * MIB,
});
