import { systemErrorCode } from "../base/system-errors.ts";
import { type BlobInfo, createClient, FixityClientError } from "../client/node.ts";
import { fileErrorText } from "./local-files.ts";
import type { Remote, TokenSource } from "./remote.ts";

/** A failure of a request to a service, explained to the user. */
export interface RemoteFailure {
  /**
   * A stable code of docs/errors.md or of the client; the system's own (`ENOSPC`) for a local file.
   */
  readonly code: string;
  /** One line: what went wrong, and what to do about it. */
  readonly reason: string;
  /** Whether every other file would fail in the same way. */
  readonly affectsAll: boolean;
}

/** The result of asking a service whether it has a file. */
export type StatOutcome =
  | { readonly status: "stored"; readonly info: BlobInfo }
  | { readonly status: "missing" }
  | ({ readonly status: "failed" } & RemoteFailure);

/** Codes of failures that affect every file. */
const GENERAL_CODES: ReadonlySet<string> = new Set([
  "network-error",
  "unexpected-answer",
  "invalid-option",
  "unauthorized",
  "forbidden",
  "not-found",
  "method-not-allowed",
  "shutting-down",
  "store-unavailable",
  "store-misconfigured",
  "store-busy",
  "too-many-requests",
  "too-many-uploads",
]);

const TRUST_REMEDY = "trust it with NODE_EXTRA_CA_CERTS=<file>";

const CONNECTION_FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection lost",
  EPIPE: "connection lost",
  UND_ERR_SOCKET: "connection lost",
  ENOTFOUND: "unknown host",
  EAI_AGAIN: "unknown host, or no name server",
  ETIMEDOUT: "no response",
  UND_ERR_CONNECT_TIMEOUT: "no response",
  UND_ERR_HEADERS_TIMEOUT: "no response",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no network",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: `its certificate is self-signed: ${TRUST_REMEDY}`,
  SELF_SIGNED_CERT_IN_CHAIN: `its certificate is signed by an unknown authority: ${TRUST_REMEDY}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `its certificate is signed by an unknown authority: ${TRUST_REMEDY}`,
};

/**
 * Asks for a file once, without retries, so that a mistyped address or a missing token is reported
 * at once.
 */
export async function statOnce(remote: Remote, link: URL | string, signal: AbortSignal): Promise<StatOutcome> {
  const { endpoint, headers } = remote;
  const client = createClient({ endpoint, headers, storage: null, retry: { attempts: 0 } });
  try {
    const info = await client.stat(link, { signal });
    return info === null ? { status: "missing" } : { status: "stored", info };
  } catch (error) {
    const failure = explainFailure(error, remote);
    if (failure === null) throw error;
    return { status: "failed", ...failure };
  } finally {
    client.close();
  }
}

/** Explains a failure; `null` for an error that no user can cause or fix. */
export function explainFailure(error: unknown, remote: Remote): RemoteFailure | null {
  // The original failure matters, not that of the cleanup after it.
  if (error instanceof SuppressedError) return explainFailure(error.suppressed, remote);
  if (error instanceof FixityClientError) {
    const { code } = error;
    return { code, reason: reasonOf(error, remote), affectsAll: GENERAL_CODES.has(code) };
  }
  const code = systemErrorCode(error);
  return code === null ? null : { code, reason: fileErrorText(error), affectsAll: false };
}

function reasonOf(error: FixityClientError, { endpoint, tokenSource }: Remote): string {
  const code: string = error.code;
  switch (code) {
    case "network-error": {
      const failure = connectionFailure(error);
      const detail = failure === null ? "" : ` (${failure})`;
      return `${endpoint.origin} cannot be reached${detail}: is it running, and is this its address?`;
    }
    case "unexpected-answer":
    case "not-found":
    case "method-not-allowed":
      return `${endpoint.href} responded, but it is not a fixity service: check --to, --from and FIXITY_URL`;
    case "unauthorized":
      return unauthorizedReason(error, endpoint, tokenSource);
    case "source-changed":
      return "it changed during the upload: upload it again when nothing writes to it";
    case "invalid-source":
      return systemErrorCode(error) === null ? error.detail : fileErrorText(error);
    default:
      return error.retryable ? `${error.detail} Try again later.` : error.detail;
  }
}

function unauthorizedReason({ detail }: FixityClientError, { origin }: URL, source: TokenSource): string {
  const problem = /expired/.test(detail) ? "has expired" : "was not accepted";
  const remedy = "ask the operator of the service for a valid one";
  if (source === null) return `${origin} requires a token: run 'fixity login ${origin}', or set FIXITY_TOKEN`;
  if (source === "login") return `the saved token ${problem}: ${remedy}, and run 'fixity login ${origin}'`;
  return `the token in FIXITY_TOKEN ${problem}: ${remedy}`;
}

/** Why a connection failed, found in the error or the chain of its causes. */
function connectionFailure(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const known = "code" in error && typeof error.code === "string" ? CONNECTION_FAILURES[error.code] : undefined;
  return known ?? connectionFailure(error.cause);
}
