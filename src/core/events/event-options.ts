import { FixityError } from "../errors.ts";
import type { DeliverEvent } from "./deliveries.ts";
import { Webhook } from "./webhook.ts";

const HOUR_MS = 3_600_000;

/** The bounds of all durations: Node's timers are limited to 2^31 - 1 milliseconds. */
const DURATION_MAX_MS = 2 ** 31 - 1;

/** Limits of events; durations in milliseconds. */
export interface EventLimits {
  /** How long one delivery may take. @default 15 s */
  readonly timeout?: number;
  /** How long deliveries of an event are tried before it becomes a dead letter. @default 3 days */
  readonly maxAge?: number;
  /**
   * Events of one process that wait for their delivery, in memory (about 2 KB each) and in the store.
   * Beyond it the oldest ones become dead letters.
   *
   * @default 10,000
   */
  readonly maxBacklog?: number;
  /**
   * How often this process looks for events of processes that are gone. A process on another machine
   * counts as gone after three times as long without a sign of life.
   *
   * @default 60 s
   */
  readonly interval?: number;
}

/** Where events go: to a webhook, or to a function. */
export type EventOptions = EventLimits &
  (
    | {
        /** The URL of a webhook (Standard Webhooks): http or https, without user and fragment. */
        readonly url: string;
        /**
         * Its secrets, `whsec_` and 24 to 64 bytes in base64, separated by spaces or as a list: every
         * event is signed with each.
         */
        readonly secret: string | readonly string[];
      }
    | {
        /**
         * Receives each event at least once, perhaps in another process than the one where it
         * happened. If it throws, or does not resolve in time, it is called again later. It must be
         * idempotent, by the event's `id`.
         */
        readonly deliver: DeliverEvent;
      }
  );

/** {@link EventOptions}, validated, with defaults. */
export interface ResolvedEventOptions {
  readonly deliver: DeliverEvent;
  readonly timeoutMs: number;
  readonly maxAgeMs: number;
  readonly maxBacklog: number;
  readonly roundMs: number;
  /** Changes the secrets of a webhook. */
  readonly replaceSecrets: ((secrets: readonly string[]) => void) | null;
}

/** @throws FixityError `invalid-option`; its message contains no secret */
export function resolveEventOptions(options: EventOptions): ResolvedEventOptions {
  const { timeout = 15_000, maxAge = 72 * HOUR_MS, maxBacklog = 10_000, interval = 60_000 } = options;
  for (const [name, value] of Object.entries({ timeout, maxAge, maxBacklog, interval })) {
    if (Number.isSafeInteger(value) && value >= 1 && value <= DURATION_MAX_MS) continue;
    throw new FixityError("invalid-option", `events.${name} must be a whole number from 1 to ${DURATION_MAX_MS}.`);
  }
  const limits = { timeoutMs: timeout, maxAgeMs: maxAge, maxBacklog, roundMs: interval };
  if ("deliver" in options) return { ...limits, deliver: options.deliver, replaceSecrets: null };
  const webhook = new Webhook(options.url, options.secret);
  return {
    ...limits,
    deliver: (event, signal) => webhook.deliver(event, signal),
    replaceSecrets: (secrets) => webhook.replaceSecrets(secrets),
  };
}
