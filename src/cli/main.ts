#!/usr/bin/env -S node --max-semi-space-size=4 --no-incremental-marking
// V8 collects for a server whose heap is small and whose buffers are large and short-lived: a small young generation, in
// which written chunks do not wait, and collections in one go, which take milliseconds here and come six times less often.
// docs/decisions/0003-collector-flags.md has the figures.

// The one place that reads the process's environment; everything else is handed what it needs.
const { env } = process;

// libuv's four threads would let four files become durable at a time. It reads this once, when the pool is first used, so
// it has to be set before anything else is loaded.
env["UV_THREADPOOL_SIZE"] ??= "8";

const { cacheCompiledCode } = await import("./compile-cache.ts");
cacheCompiledCode(env);
const { runProgram } = await import("./program.ts");
await runProgram(process.argv, env);
