import { asFixityError, type ErrorCode, FixityError } from "../core/errors.ts";

/** What one side of a channel implements for the other: its methods, which may be asynchronous. */
export type Implementation<Offered> = {
  readonly [Name in keyof Offered]: (
    argument: Argument<Offered[Name]>,
  ) => Result<Offered[Name]> | Promise<Result<Offered[Name]>>;
};

type Argument<Method> = Method extends (argument: infer Given) => unknown ? Given : never;
type Result<Method> = Method extends (argument: never) => infer Returned ? Returned : never;
type AnyMethods = Readonly<Record<string, (argument: never) => unknown>>;

/** The other process: `process` in a worker, the worker's process in the primary. */
export interface Peer {
  send?: (message: object, handle: undefined, options: object, callback: (error: Error | null) => void) => unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
  on(event: "disconnect", listener: () => void): unknown;
}

/** A message of a channel. Node's own messages between processes are not visible here. */
type Message =
  | { readonly call: string; readonly argument: unknown; readonly id?: number }
  | { readonly answerTo: number; readonly value?: unknown; readonly error?: SentError };

interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly facts: FixityError["facts"];
  readonly retryAfterSeconds?: number;
}

/**
 * Calls between a worker and the primary, over the messages of `node:child_process` (JSON). Messages
 * of one sender arrive in their order. A message to a process that has ended is dropped.
 */
export class Channel<Offered> {
  readonly #peer: Peer;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;
  #isOpen = true;

  /** @param own what this side offers */
  constructor(peer: Peer, own: AnyMethods) {
    this.#peer = peer;
    peer.on("message", (message) => this.#receive(message as Message, own));
    peer.on("disconnect", () => {
      this.#isOpen = false;
      for (const { reject } of this.#asked.values()) reject(disconnected());
      this.#asked.clear();
    });
  }

  /** Calls a method of the other side, whose result does not matter. */
  tell<Name extends keyof Offered & string>(name: Name, argument: Argument<Offered[Name]>): void {
    this.#send({ call: name, argument });
  }

  /**
   * Calls a method of the other side.
   *
   * @throws FixityError what the method throws, without its cause; `shutting-down` if the process
   *   ends before it answers
   */
  ask<Name extends keyof Offered & string>(
    name: Name,
    argument: Argument<Offered[Name]>,
  ): Promise<Result<Offered[Name]>> {
    const asked = Promise.withResolvers<unknown>();
    if (this.#isOpen) {
      this.#lastId += 1;
      this.#asked.set(this.#lastId, asked);
      this.#send({ call: name, argument, id: this.#lastId });
    } else asked.reject(disconnected());
    return asked.promise as Promise<Result<Offered[Name]>>;
  }

  #send(message: Message): void {
    // A failure means that the process has ended, which `disconnect` reports.
    if (this.#isOpen) this.#peer.send?.(message, undefined, {}, () => undefined);
  }

  #receive(message: Message, own: AnyMethods): void {
    if ("call" in message) void this.#answer(message, own);
    else if ("answerTo" in message) {
      const { answerTo, value, error } = message;
      const asked = this.#asked.get(answerTo);
      this.#asked.delete(answerTo);
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(new FixityError(error.code, error.message, error));
    }
  }

  async #answer({ call, argument, id }: Extract<Message, { readonly call: string }>, own: AnyMethods): Promise<void> {
    try {
      const value = await own[call]?.(argument as never);
      if (id !== undefined) this.#send({ answerTo: id, value });
    } catch (thrown) {
      const { code, message, facts, retryAfterSeconds } = asFixityError(thrown);
      const error = { code, message, facts, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
      if (id !== undefined) this.#send({ answerTo: id, error });
    }
  }
}

function disconnected(): FixityError {
  return new FixityError("shutting-down", "A part of the server has just ended. Try again in a moment.");
}
