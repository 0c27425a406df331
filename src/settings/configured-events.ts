import type { EventOptions } from "../core/events/event-options.ts";
import { type Config, isLoopbackHost } from "./config.ts";

/** The option `events` of a service with this configuration. */
export function eventOptions({
  webhookUrl: url,
  webhookSecret: secret,
}: Pick<Config, "webhookUrl" | "webhookSecret">): { readonly events?: EventOptions } {
  return url === undefined || secret === null ? {} : { events: { url, secret } };
}

/** Warnings for the operator about the webhook of a configuration. */
export function eventWarnings({ webhookUrl: url }: Pick<Config, "webhookUrl">): readonly string[] {
  const parsed = url === undefined ? null : URL.parse(url);
  if (parsed === null || parsed.protocol === "https:" || isLoopbackHost(parsed.hostname)) return [];
  return [`events are sent to ${parsed.origin} without encryption: on the way others can read names and links`];
}
