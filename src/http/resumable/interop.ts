import type { Uploads } from "../../core/uploads/uploads.ts";
import type { Fields } from "../exchange.ts";
import { formatLimits, parseIntegerField } from "../fields/upload-fields.ts";
import type { AdmittedRequest } from "../request.ts";

/** What differs on the wire between the drafts of the resumable upload protocol. */
interface DraftRules {
  /** Whether appends must have the type `application/partial-upload`. */
  readonly requiresPartialType: boolean;
  /** The status of an append that does not complete the upload. */
  readonly appendStatus: 201 | 204;
  /** The key of the limit on an upload's age. */
  readonly ageLimitKey: "max-age" | "expires" | null;
  /**
   * Whether `Upload-Offset`, `Upload-Complete` and `Upload-Length` are refused in requests without
   * upload content.
   */
  readonly refusesUploadFields: boolean;
}

/** The rules for one client: those of the version in its `Upload-Draft-Interop-Version`. */
export interface Interop extends DraftRules {
  /** `null` if it is unknown or the request names none, as clients of the final RFC will not. */
  readonly version: number | null;
}

const LATEST_RULES: DraftRules = {
  requiresPartialType: true,
  appendStatus: 204,
  ageLimitKey: "max-age",
  refusesUploadFields: false,
};

/**
 * By interop version: 5 is draft -03, 6 is -04 and -05, 7 is -06 to -08, 8 is -09 to -11, 9 is -12
 * and later.
 */
const RULES_BY_VERSION: ReadonlyMap<number, DraftRules> = new Map([
  [5, { requiresPartialType: false, appendStatus: 201, ageLimitKey: null, refusesUploadFields: true }],
  [6, { requiresPartialType: true, appendStatus: 201, ageLimitKey: "expires", refusesUploadFields: true }],
  [7, LATEST_RULES],
  [8, LATEST_RULES],
  [9, LATEST_RULES],
]);

/**
 * The rules for a request. An unknown version gets the latest rules, without interim responses.
 */
export function interopOf(fields: Fields): Interop {
  const version = parseIntegerField(fields.get("upload-draft-interop-version"));
  const rules = version === null ? undefined : RULES_BY_VERSION.get(version);
  return rules === undefined ? { version: null, ...LATEST_RULES } : { version, ...rules };
}

/**
 * The value of `Upload-Limit`, with the remaining lifetime of one upload, or the full lifetime of a
 * new one.
 */
export function uploadLimit(uploads: Uploads, { ageLimitKey }: Interop, expires?: Date): string {
  const { maxSize, maxAppendSize, minAppendSize, expiry } = uploads.limits;
  const remainingMs = expires === undefined ? expiry : expires.getTime() - Date.now();
  return formatLimits({
    "max-size": maxSize,
    "max-append-size": maxAppendSize,
    ...(minAppendSize > 0 && { "min-append-size": minAppendSize }),
    ...(ageLimitKey !== null && { [ageLimitKey]: Math.max(0, Math.floor(remainingMs / 1000)) }),
  });
}

const UPLOAD_RESUMPTION_SUPPORTED_STATUS = 104;

/**
 * Request fields that proxies add. Their values are not trusted, but their presence reveals a
 * proxy, and nginx, the most common one, cannot handle a 104 from its upstream.
 */
const PROXY_FIELDS = [
  "via",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-server",
  "x-forwarded-scheme",
  "x-forwarded-ssl",
  "x-real-ip",
  "x-client-ip",
  "x-scheme",
  "x-amzn-trace-id",
  "true-client-ip",
  "cf-ray",
  "cdn-loop",
];

/**
 * Sends a 104 with these fields, if the client expects it. "Server implementations […] MUST NOT
 * send a 104 […] when the interop version […] is missing or mismatching."
 */
export function sendInterim(
  { exchange, options: { interimResponses } }: AdmittedRequest,
  { version }: Interop,
  fields: Readonly<Record<string, string>>,
): void {
  if (version === null || interimResponses === false) return;
  if (interimResponses === "auto" && PROXY_FIELDS.some((name) => exchange.fields.get(name) !== undefined)) return;
  exchange.interim?.(UPLOAD_RESUMPTION_SUPPORTED_STATUS, {
    "Upload-Draft-Interop-Version": String(version),
    ...fields,
  });
}
