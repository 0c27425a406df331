#!/usr/bin/env -S node --max-semi-space-size=4 --no-incremental-marking
// V8's garbage collector, tuned for a server whose heap is small and whose buffers are large and short-lived: a small young
// generation, so that written chunks are not kept waiting, and collections in one go, which take milliseconds here and come
// six times less often. docs/decisions/0003-collector-flags.md has the figures.
//
// This file has no static imports: Node resolves those before it executes anything, and an older version would fail at the
// first name that it lacks instead of printing the sentence below.

// The one place that reads the process's environment; everything else receives what it needs.
const { argv, env } = process;

// libuv's four threads would let only four files become durable at a time. It reads this once, when the pool is first used,
// so it has to be set before anything else is loaded.
env["UV_THREADPOOL_SIZE"] ??= "8";

const { unsupportedRuntime } = await import("../base/supported-node.ts");
const refusal = unsupportedRuntime();
if (refusal === null) {
  const { cacheCompiledCode } = await import("./compile-cache.ts");
  cacheCompiledCode(env);
  const { runProgram } = await import("./program.ts");
  await runProgram(argv, env);
} else {
  const { EXIT } = await import("./exit-codes.ts");
  process.stderr.write(`${refusal}\n`);
  process.exitCode = argv[2] === "serve" ? EXIT.notOk : EXIT.failed;
}
