#!/usr/bin/env -S node --max-semi-space-size=4 --no-incremental-marking
// The one place that reads the process's environment; everything else is handed what it needs.
const { env } = process;

// libuv's four threads would let four files become durable at a time. It reads this once, when the pool is first used, so
// it has to be set before anything else is loaded.
env["UV_THREADPOOL_SIZE"] ??= "8";

const { cacheCompiledCode } = await import("./compile-cache.ts");
cacheCompiledCode(env);
const { runProgram } = await import("./program.ts");
await runProgram(process.argv, env);
