import { createHash, timingSafeEqual } from "node:crypto";
import { FixityError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";

/** What a client wants to do, for `authorize`. */
export type Action = "upload" | "read" | "delete";

/**
 * Decides whether a request may proceed. Throws a `FixityError` `unauthorized` or `forbidden` to
 * refuse it.
 */
export type Authorizer = (exchange: Exchange, action: Action) => Promise<void> | void;

/** A 401 with its `WWW-Authenticate`, which every 401 must have (RFC 9110, section 15.5.2). */
export class Unauthorized extends FixityError {
  /** How the client can authenticate: the value of `WWW-Authenticate`. */
  readonly challenge: string;

  constructor(message: string, challenge: string, cause?: unknown) {
    super("unauthorized", message, { cause });
    this.challenge = challenge;
  }
}

/**
 * The challenge for bearer tokens (RFC 6750, section 3), and the default for authorizers that throw
 * `unauthorized` without one.
 */
const BEARER_CHALLENGE = "Bearer";

/**
 * Calls an authorizer.
 *
 * @throws FixityError whatever it throws; an `unauthorized` as {@link Unauthorized}
 */
export async function authorize(authorizer: Authorizer, exchange: Exchange, action: Action): Promise<void> {
  try {
    await authorizer(exchange, action);
  } catch (error) {
    const lacksChallenge =
      error instanceof FixityError && error.code === "unauthorized" && !(error instanceof Unauthorized);
    throw lacksChallenge ? new Unauthorized(error.message, BEARER_CHALLENGE, error) : error;
  }
}

/**
 * An `authorize` that requires one of `tokens` as `Authorization: Bearer …` (RFC 6750) for uploads
 * and removal. Reading needs no token, because a link is its own permission.
 */
export function bearerTokens(tokens: readonly string[]): (exchange: Exchange, action: Action) => void {
  // Digests have equal lengths and reveal nothing about the token, so every wrong token takes the
  // same time to compare.
  const known = tokens.map(fingerprint);
  return (exchange, action) => {
    if (action === "read") return;
    const token = bearerToken(exchange.fields.get("authorization"));
    if (token === null) throw new Unauthorized("Send a token: Authorization: Bearer <token>.", BEARER_CHALLENGE);
    const print = fingerprint(token);
    let isKnown = false;
    for (const candidate of known) isKnown = timingSafeEqual(candidate, print) || isKnown;
    if (!isKnown) throw new Unauthorized("The token is not valid here.", BEARER_CHALLENGE);
  };
}

/**
 * The token in `Authorization: Bearer …` (RFC 6750, section 2.1). `null` for other schemes and
 * malformed fields.
 */
export function bearerToken(text: string | undefined): string | null {
  return /^[ \t]*bearer +([A-Za-z0-9\-._~+/]+=*)[ \t]*$/i.exec(text ?? "")?.[1] ?? null;
}

function fingerprint(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** The default `authorize`. */
export function refuseRemoval(_exchange: Exchange, action: Action): void {
  if (action === "delete") throw new FixityError("forbidden", "This service does not remove files.");
}
