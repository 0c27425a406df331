/** Exit codes of all commands, as documented in docs/cli.md. */
export const EXIT = {
  /** The command did its work, and everything is in order. */
  ok: 0,
  /**
   * The command did its work, and something is not in order: files are missing or damaged, or were
   * not stored; a server that stopped could not save everything.
   */
  notOk: 1,
  /**
   * The command could not do its work, or not all of it: a mistake in the arguments, wrong settings,
   * a service or store that cannot be used, a fault of fixity. The same code that shells, grep and
   * diff use.
   */
  failed: 2,
} as const;

/** Exit codes of a process that stopped because of a signal: 128 plus the number of the signal. */
export const SIGNAL_EXITS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Exit code of a process whose reader has closed the pipe, as in `fixity verify | head` (128 plus
 * SIGPIPE).
 */
export const SIGPIPE_EXIT = 141;
