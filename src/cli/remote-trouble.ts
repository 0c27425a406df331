import { FixityClientError } from "../client/node.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { fileTrouble } from "./file-trouble.ts";
import type { Remote } from "./remote.ts";

/** What a failed request to a service means for its user. */
export interface Trouble {
  /** A stable code of docs/errors.md or of the client; the system's own (`ENOSPC`) where it is about a file here. */
  readonly code: string;
  /** What went wrong and what to do about it, in a line. */
  readonly reason: string;
  /** It is not about one file: with others it would be the same. */
  readonly isGeneral: boolean;
}

/** What others would meet as well. */
const GENERAL: ReadonlySet<FixityClientError["code"]> = new Set<FixityClientError["code"]>([
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

/** Failures of connections, in words. */
const CONNECTIONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "no such host, or no name server",
  ETIMEDOUT: "no answer",
  UND_ERR_CONNECT_TIMEOUT: "no answer",
  UND_ERR_HEADERS_TIMEOUT: "no answer",
  EHOSTUNREACH: "no way to that host",
  ENETUNREACH: "no network",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is its own: NODE_EXTRA_CA_CERTS=<file> makes it known",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is of an unknown authority: NODE_EXTRA_CA_CERTS=<file> makes it known",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "its certificate is of an unknown authority: NODE_EXTRA_CA_CERTS=<file> makes it known",
};

/** Explains a failure; `null` of what is no failure that can be expected. */
export function troubleOf(error: unknown, remote: Remote): Trouble | null {
  // what failed first, and not the cleaning up after it
  if (error instanceof SuppressedError) return troubleOf(error.suppressed, remote);
  if (error instanceof FixityClientError) {
    const { code } = error;
    return { code, reason: clientReason(error, remote), isGeneral: GENERAL.has(code) };
  }
  const code = systemErrorCode(error);
  return code === null ? null : { code, reason: fileTrouble(error), isGeneral: false };
}

type Explain = (error: FixityClientError, remote: Remote) => string;

const noService: Explain = (_error, { endpoint }) =>
  `what answers at ${endpoint.href} is no fixity service: check --to, --from and FIXITY_URL`;

/** What is better told in the words of a command line. */
const REASONS: Readonly<Partial<Record<FixityClientError["code"], Explain>>> = {
  "network-error": (error, { endpoint }) =>
    `${endpoint.origin} cannot be reached${inBrackets(connectionTrouble(error))}: is it running, and is this its address?`,
  "unexpected-answer": noService,
  "not-found": noService,
  "method-not-allowed": noService,
  unauthorized: (_error, { headers }) =>
    "Authorization" in headers
      ? "the token in FIXITY_TOKEN was not accepted: ask whoever runs the service for another"
      : "the service asks for a token: put it into FIXITY_TOKEN, and the service's address into FIXITY_URL",
  "source-changed": () => "it changed while it was sent: send it again when nothing writes to it",
  "invalid-source": (error) => (systemErrorCode(error) === null ? error.detail : fileTrouble(error)),
};

function clientReason(error: FixityClientError, remote: Remote): string {
  const explain = REASONS[error.code];
  if (explain !== undefined) return explain(error, remote);
  return error.retryable ? `${error.detail} Try again later.` : error.detail;
}

function inBrackets(text: string | null): string {
  return text === null ? "" : ` (${text})`;
}

/** What broke a connection lies some causes deep. */
function connectionTrouble(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const known = "code" in error && typeof error.code === "string" ? CONNECTIONS[error.code] : undefined;
  return known ?? connectionTrouble(error.cause);
}
