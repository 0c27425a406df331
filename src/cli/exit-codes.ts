/** Exit codes of all commands but `serve`; docs/operations.md and docs/cli.md tell users of them. */
export const EXIT = {
  /** It was done, and all is well. */
  ok: 0,
  /** It was done, and not all is well. */
  unwell: 1,
  /** It could not be done, or not to its end: wrong settings, or a store that cannot be reached. */
  undone: 2,
} as const;

/** Exit codes of a process that a signal ended: 128 and the signal's number. */
export const SIGNAL_EXITS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Of a process whose output has no reader any more, as in `fixity verify | head`. Output that cannot be written is `undone`. */
export const UNREAD_EXIT = 141;
