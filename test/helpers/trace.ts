/** A system call in a trace. */
export interface TracedCall {
  /** `0` where only one is traced. */
  readonly thread: number;
  readonly name: string;
  /** The arguments as strace writes them, with `-yy`: `24</data/staging/1>, "hello", 5`. */
  readonly args: string;
  /** What it returned; negative where it failed, `null` where the process or the tracing ended before it did. */
  readonly result: number | null;
  /** Such as `EIO`. */
  readonly error: string | null;
  /** Made by strace instead of the kernel. */
  readonly injected: boolean;
  /** Lines of the trace. A call that ended before another one began happened before it. */
  readonly began: number;
  readonly ended: number;
}

// where one thread alone is traced there is no number
const LINE = /^(?:(\d+) +)?(.*)$/;
const WHOLE = /^(\w+)\((.*)\) += (-?\d+|\?)(.*)$/s;
const BEGINNING = /^(\w+)\((.*?)(?:, )? *<(?:unfinished|detached) \.\.\.>\)?(?: += \?)?$/s;
const REST = /^<\.\.\. (\w+) resumed>(.*)$/s;

/** Reads what strace has written; signals and ends of threads are passed over. */
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

/** The path that a call is made on: of its descriptor where it has one, else the first that it names. */
export function pathOf({ args }: TracedCall): string | null {
  return (/^\d+<([^>]*)>/.exec(args) ?? /"([^"]*)"/.exec(args))?.[1] ?? null;
}

/** Where a `link` or `rename` leads to. */
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
