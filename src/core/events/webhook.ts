import { createHmac } from "node:crypto";
import { parseRetryAfter } from "../../base/retry-delay.ts";
import { FixityError } from "../errors.ts";
import type { FixityEvent } from "./event.ts";

/** Bytes of a response that are read so that its connection can be used again. */
const RESPONSE_READ_MAX_BYTES = 16 * 1024;

/** The pause that a receiver asks for with 410, which Standard Webhooks takes for "disable it". */
const GONE_PAUSE_SECONDS = 3600;

const SECRET_PREFIX = "whsec_";
const SECRET_MIN_BYTES = 24;
const SECRET_MAX_BYTES = 64;

/**
 * A webhook of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): each event is a signed
 * `POST` with `{ type, timestamp, data }`. Any 2xx accepts it; redirects are not followed.
 *
 * The signature is own code: it is one HMAC, which the library `standardwebhooks` computes in
 * JavaScript. The tests verify with that library.
 */
export class Webhook {
  readonly #url: URL;
  #secrets: readonly Buffer[];

  /**
   * @param secrets as in {@link parseWebhookSecrets}
   * @throws FixityError `invalid-option`
   */
  constructor(url: string, secrets: string | readonly string[]) {
    const parsed = webhookUrlIn(url);
    if (parsed === null) {
      throw new FixityError("invalid-option", "A webhook's URL must be http or https, without user and fragment.");
    }
    this.#url = parsed;
    this.#secrets = parseWebhookSecrets(secrets);
  }

  /** Where it is, without path and query, which may contain a secret. */
  get origin(): string {
    return this.#url.origin;
  }

  /** Signs with other secrets from now on. @throws FixityError `invalid-option` */
  replaceSecrets(secrets: string | readonly string[]): void {
    this.#secrets = parseWebhookSecrets(secrets);
  }

  /** @throws FixityError `event-rejected`, perhaps with `retryAfterSeconds`, or what `fetch` throws */
  async deliver(event: FixityEvent, signal: AbortSignal): Promise<void> {
    const { id, type, timestamp, data } = event;
    const body = JSON.stringify({ type, timestamp, data });
    const seconds = Math.floor(Date.now() / 1000);
    const headers = {
      "Content-Type": "application/json",
      "User-Agent": "fixity",
      "Webhook-Id": id,
      "Webhook-Timestamp": String(seconds),
      "Webhook-Signature": signaturesOf(`${id}.${seconds}.${body}`, this.#secrets),
    };
    const response = await fetch(this.#url, { method: "POST", headers, body, signal, redirect: "manual" });
    const { ok, status } = response;
    // Read while the status is known: a broken response does not change what it says.
    await discard(response).catch(() => null);
    if (ok) return;
    const askedMs = parseRetryAfter(response.headers.get("Retry-After"));
    const pauseSeconds = status === 410 ? GONE_PAUSE_SECONDS : askedMs === null ? undefined : askedMs / 1000;
    throw new FixityError("event-rejected", `${this.origin} answered ${status} to the event ${id}.`, {
      ...(pauseSeconds !== undefined && { retryAfterSeconds: pauseSeconds }),
    });
  }
}

/**
 * The keys in secrets `whsec_<base64>` of 24 to 64 bytes, separated by spaces. Events are signed with
 * all of them, so that a receiver can change from one to the next.
 *
 * @throws FixityError `invalid-option`; its message contains no secret
 */
export function parseWebhookSecrets(secrets: string | readonly string[]): readonly Buffer[] {
  const words = (typeof secrets === "string" ? [secrets] : secrets).flatMap((text) => text.trim().split(/\s+/));
  return words.map((word) => {
    const encoded = word.startsWith(SECRET_PREFIX) ? word.slice(SECRET_PREFIX.length) : "";
    const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded);
    const key = Buffer.from(isBase64 ? encoded : "", "base64");
    if (key.length >= SECRET_MIN_BYTES && key.length <= SECRET_MAX_BYTES) return key;
    throw new FixityError(
      "invalid-option",
      `A webhook secret must be ${SECRET_PREFIX} and ${SECRET_MIN_BYTES} to ${SECRET_MAX_BYTES} bytes in base64: ` +
        "make one with  echo whsec_$(openssl rand -base64 32)",
    );
  });
}

/**
 * The URL of a webhook in a text: http or https, without user and fragment. Its query may contain a
 * token of the receiver. `null` for anything else.
 */
export function webhookUrlIn(text: string): URL | null {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol)) return null;
  return url.username + url.password + url.hash === "" ? url : null;
}

/** The value of `webhook-signature` for a message. */
function signaturesOf(message: string, keys: readonly Buffer[]): string {
  return keys.map((key) => `v1,${createHmac("sha256", key).update(message).digest("base64")}`).join(" ");
}

/** Reads a short response to its end, and breaks off a longer one. */
async function discard({ body }: Response): Promise<void> {
  if (body === null) return;
  let size = 0;
  for await (const bytes of body as ReadableStream<Uint8Array>) {
    size += bytes.length;
    if (size > RESPONSE_READ_MAX_BYTES) return;
  }
}
