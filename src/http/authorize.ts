import { createHash, timingSafeEqual } from "node:crypto";
import { FixityError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import { bearerToken } from "./fields/authorization.ts";
import type { Action } from "./options.ts";

/**
 * An `authorize` that wants one of `tokens` as `Authorization: Bearer …` (RFC 6750) for uploads and removal; reading
 * stays open, since links are for everybody who has them.
 */
export function bearerTokens(tokens: readonly string[]): (exchange: Exchange, action: Action) => void {
  // Digests have one length and tell nothing of the token, so the comparison takes the same time for any wrong one.
  const known = tokens.map(fingerprint);
  return (exchange, action) => {
    if (action === "read") return;
    const token = bearerToken(exchange.fields.get("authorization"));
    if (token === null) {
      throw new FixityError("unauthorized", "Send a token: Authorization: Bearer <token>.");
    }
    const print = fingerprint(token);
    let found = false;
    for (const candidate of known) found = timingSafeEqual(candidate, print) || found;
    if (!found) throw new FixityError("unauthorized", "The token is not known here.");
  };
}

function fingerprint(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
