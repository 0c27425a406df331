import { type Setting, text, webhookUrl, wordsBetweenSpaces } from "./kinds.ts";

/** The settings of the webhook that receives events. */
export interface EventSettings {
  readonly webhookUrl: string | undefined;
  readonly webhookSecret: readonly string[] | undefined;
  readonly webhookSecretFile: string | undefined;
}

/** The part of the table of settings that is about events. */
export const EVENT_SETTINGS: { readonly [Name in keyof EventSettings]: Setting<EventSettings[Name]> } = {
  webhookUrl: {
    env: "UPLOAD_WEBHOOK_URL",
    // Its query may contain a token of the receiver.
    secret: true,
    kind: webhookUrl,
    value: "url",
    help: "URL to which events are posted: what was stored, removed, found damaged and repaired",
  },
  webhookSecret: {
    env: "UPLOAD_WEBHOOK_SECRET",
    secret: true,
    kind: wordsBetweenSpaces,
    value: "secrets",
    help: "secrets whsec_… that sign events, separated by spaces: each signs every event",
  },
  webhookSecretFile: {
    env: "UPLOAD_WEBHOOK_SECRET_FILE",
    kind: text,
    value: "file",
    help: "file of secrets that sign events, one per line; SIGHUP reads it again",
  },
};
