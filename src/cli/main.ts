#!/usr/bin/env -S node --max-semi-space-size=4 --no-incremental-marking
// V8's garbage collector is tuned for a server with a small heap and large, short-lived buffers: a
// small young generation, so that written chunks do not survive for long, and collections in one
// go, which take milliseconds here and are six times less frequent.
// docs/decisions/0003-collector-flags.md has the figures.
//
// This file has no static imports: Node resolves those before it executes anything, and an older
// version would fail at the first name that it lacks instead of printing the sentence below.

// The only place that reads the process's environment; everything else receives what it needs.
const { argv, env } = process;

// With libuv's default of four threads only four files could become durable at a time. libuv reads
// the variable once, when the pool is first used, so it has to be set before anything else is
// loaded.
env["UV_THREADPOOL_SIZE"] ??= "8";

const { unsupportedRuntime } = await import("../base/supported-node.ts");
const refusal = unsupportedRuntime();
if (refusal === null) {
  await cacheCompiledCode();
  const { runProgram } = await import("./program.ts");
  await runProgram(argv, env);
} else {
  const { EXIT } = await import("./exit-codes.ts");
  process.stderr.write(`${refusal}\n`);
  process.exitCode = EXIT.failed;
}

/**
 * Keeps compiled code for the next start, which halves the time of a start. The folder is in the
 * user's own cache, not in Node's default place below the shared temporary folder: the user who
 * creates that folder first decides what code other users run. `NODE_COMPILE_CACHE` and
 * `NODE_DISABLE_COMPILE_CACHE` take precedence.
 */
async function cacheCompiledCode(): Promise<void> {
  const { enableCompileCache } = await import("node:module");
  const { homedir } = await import("node:os");
  const path = await import("node:path");
  try {
    enableCompileCache(path.join(env["XDG_CACHE_HOME"] || path.join(homedir(), ".cache"), "fixity"));
  } catch {
    // A user without a home, as in some containers: nothing is cached.
  }
}
