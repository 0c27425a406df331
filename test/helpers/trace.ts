/** A system call in a trace. */
export interface TracedCall {
  /** The thread id; `0` if only one thread is traced. */
  readonly thread: number;
  readonly name: string;
  /** The arguments as strace writes them, with `-yy`: `24</data/staging/1>, "hello", 5`. */
  readonly args: string;
  /** The return value: negative for a failure, `null` if the process or the trace ended before the call. */
  readonly result: number | null;
  /** The error code, such as `EIO`. */
  readonly error: string | null;
  /** Whether strace injected the result. */
  readonly injected: boolean;
  /** Lines of the trace. A call that ended before another one began happened before it. */
  readonly began: number;
  readonly ended: number;
}

// if only one thread is traced, lines have no thread id
const LINE = /^(?:(\d+) +)?(.*)$/;
const WHOLE = /^(\w+)\((.*)\) += (-?\d+|\?)(.*)$/s;
const BEGINNING = /^(\w+)\((.*?)(?:, )? *<(?:unfinished|detached) \.\.\.>\)?(?: += \?)?$/s;
const REST = /^<\.\.\. (\w+) resumed>(.*)$/s;

/** Parses the output of strace. Signals and ends of threads are ignored. */
export function parseTrace(text: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const open = new Map<number, { readonly text: string; readonly began: number }>();
  for (const [index, line] of text.split("\n").entries()) {
    const [, digits = "0", said = ""] = LINE.exec(line) ?? [];
    const thread = Number(digits);
    const beginning = BEGINNING.exec(said);
    if (beginning !== null) {
      open.set(thread, { text: `${beginning[1]}(${beginning[2]}`, began: index });
      continue;
    }
    const rest = REST.exec(said);
    const start = rest === null ? { text: "", began: index } : open.get(thread);
    if (start === undefined) continue;
    open.delete(thread);
    const call = callOf(start.text + (rest?.[2] ?? said), thread);
    if (call !== null) calls.push({ ...call, began: start.began, ended: index });
  }
  for (const [thread, { text, began }] of open) {
    const call = callOf(`${text}) = ?`, thread);
    if (call !== null) calls.push({ ...call, began, ended: Infinity });
  }
  return calls.sort((a, b) => a.began - b.began);
}

/** The path of a call: that of its descriptor if it has one, otherwise the first in its arguments. */
export function pathOf({ args }: TracedCall): string | null {
  return (/^\d+<([^>]*)>/.exec(args) ?? /"([^"]*)"/.exec(args))?.[1] ?? null;
}

/** The target of a `link` or `rename`. */
export function targetOf({ args }: TracedCall): string | null {
  return [...args.matchAll(/"([^"]*)"/g)][1]?.[1] ?? null;
}

function callOf(text: string, thread: number): Omit<TracedCall, "began" | "ended"> | null {
  const [, name, args, result, behind = ""] = WHOLE.exec(text) ?? [];
  if (name === undefined || args === undefined) return null;
  return {
    thread,
    name,
    args,
    result: result === "?" ? null : Number(result),
    error: /^ (E[A-Z0-9]+)/.exec(behind)?.[1] ?? null,
    injected: behind.includes("(INJECTED)"),
  };
}
