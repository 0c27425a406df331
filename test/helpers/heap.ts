import assert from "node:assert/strict";
import { once } from "node:events";

/** Figures of a process's memory, in bytes. */
export interface HeapUsage {
  readonly heapUsed: number;
  /** Memory of buffers, which the garbage collector frees as well. */
  readonly external: number;
}

/**
 * Collects the garbage of a process that was started with `--inspect=0`, and returns its memory use.
 *
 * @param output the standard error of the process, which contains the address of the inspector
 */
export async function heapOf(output: string): Promise<HeapUsage> {
  const url = /Debugger listening on (ws:\S+)/.exec(output)?.[1];
  assert.ok(url !== undefined, "the process has an inspector");
  const socket = new WebSocket(url);
  await once(socket, "open");
  const call = async (id: number, method: string, params: object = {}): Promise<unknown> => {
    socket.send(JSON.stringify({ id, method, params }));
    for (;;) {
      const [event] = (await once(socket, "message")) as [{ readonly data: string }];
      const message = JSON.parse(event.data) as { readonly id?: number; readonly result?: unknown };
      if (message.id === id) return message.result;
    }
  };
  // the second collection frees what finalizers have released
  await call(1, "HeapProfiler.collectGarbage");
  await call(2, "HeapProfiler.collectGarbage");
  const expression = "JSON.stringify(process.memoryUsage())";
  const { result } = (await call(3, "Runtime.evaluate", { expression })) as {
    readonly result: { readonly value: string };
  };
  socket.close();
  return JSON.parse(result.value) as HeapUsage;
}
