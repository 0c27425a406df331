/**
 * The environment of programs that tests start, to which each adds its own variables: nothing of the machine but
 * `PATH`, and the folder of compiled code that `npm test` sets, without which each start compiles the sources again.
 */
export const CHILD_ENV: NodeJS.ProcessEnv = {
  PATH: process.env["PATH"],
  ...(process.env["NODE_COMPILE_CACHE"] !== undefined && { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] }),
};
