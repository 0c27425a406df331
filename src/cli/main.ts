#!/usr/bin/env -S node --max-semi-space-size=4
// The flag keeps V8's young generation small: chunks that have long been written would wait in it to be collected.
// The one place that reads the process's environment; everything else is handed what it needs.
const { env } = process;

// libuv's four threads would let four files become durable at a time. It reads this once, when the pool is first used, so
// it has to be set before anything else is loaded.
env["UV_THREADPOOL_SIZE"] ??= "8";

const { enableCompileCache } = await import("node:module");
enableCompileCache();
const { runProgram } = await import("./program.ts");
await runProgram(process.argv, env);
