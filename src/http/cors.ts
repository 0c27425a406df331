import type { Answer, Exchange } from "./exchange.ts";

/** The origins whose pages may use the service from a browser. */
export type AllowedOrigins = "*" | ReadonlySet<string>;

/** Response fields that pages of other origins may read, in addition to the safelisted ones. */
const EXPOSED = [
  "Accept-Patch",
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Encoding",
  "Content-Location",
  "Content-Range",
  "ETag",
  "Location",
  "Repr-Digest",
  "Retry-After",
  "Tus-Checksum-Algorithm",
  "Tus-Extension",
  "Tus-Max-Size",
  "Tus-Resumable",
  "Tus-Version",
  "Upload-Complete",
  "Upload-Defer-Length",
  "Upload-Expires",
  "Upload-Length",
  "Upload-Limit",
  "Upload-Metadata",
  "Upload-Offset",
].join(", ");

const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/**
 * Request fields with a meaning here that pages of other origins may send, in addition to the safelisted ones. Other fields
 * of a preflight are allowed as well, see {@link allowedFields}.
 */
const ALLOWED_FIELDS = [
  "Authorization",
  "Cache-Control",
  "Content-Digest",
  "Content-Disposition",
  "Content-Encoding",
  "Content-Type",
  "If-Match",
  "If-None-Match",
  "If-Range",
  "Incremental",
  "Range",
  "Repr-Digest",
  "Tus-Resumable",
  "Upload-Checksum",
  "Upload-Complete",
  "Upload-Concat",
  "Upload-Defer-Length",
  "Upload-Draft-Interop-Version",
  "Upload-Length",
  "Upload-Metadata",
  "Upload-Offset",
  "Want-Repr-Digest",
  "X-HTTP-Method-Override",
  "X-Request-ID",
  "X-Requested-With",
];

/**
 * Whether a text is an origin as browsers serialize it: `http` or `https`, the host in lower case and ASCII, and the port
 * unless it is the default. Origins are compared, not matched: one with a wildcard would equal none.
 */
export function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text && !url.host.includes("*");
}

const ALLOWED_NAMES: ReadonlySet<string> = new Set(ALLOWED_FIELDS.map((name) => name.toLowerCase()));

/** Adds the fields that let pages of the allowed origins use a response (WHATWG Fetch, "CORS protocol"). */
export function withCors(exchange: Exchange, answer: Answer, origins: AllowedOrigins): Answer {
  if (origins !== "*" && origins.size === 0) return answer;
  const vary = origins === "*" ? {} : { Vary: addVary(answer.fields["Vary"]) };
  const origin = exchange.fields.get("origin");
  if (origin === undefined || (origins !== "*" && !origins.has(origin))) {
    return { ...answer, fields: { ...answer.fields, ...vary } };
  }
  return {
    ...answer,
    fields: {
      ...answer.fields,
      ...vary,
      "Access-Control-Allow-Origin": origins === "*" ? "*" : origin,
      "Access-Control-Expose-Headers": EXPOSED,
      ...(isPreflight(exchange) && {
        "Access-Control-Allow-Methods": ALLOWED_METHODS,
        "Access-Control-Allow-Headers": allowedFields(exchange),
        "Access-Control-Max-Age": "86400",
      }),
    },
  };
}

function isPreflight(exchange: Exchange): boolean {
  return exchange.method === "OPTIONS" && exchange.fields.get("access-control-request-method") !== undefined;
}

/**
 * The known names, and every other valid name in the preflight. Upload libraries add fields of their own, and one field that
 * is not allowed fails the whole request with an error that the page cannot read. Credentials are not allowed, so a page can
 * send nothing that other clients cannot. `*` would do the same, but does not cover `Authorization`.
 */
function allowedFields({ fields }: Exchange): string {
  const requested = (fields.get("access-control-request-headers") ?? "").split(",").map((name) => name.trim());
  const others = requested.filter(
    (name) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) && !ALLOWED_NAMES.has(name.toLowerCase()),
  );
  return [...ALLOWED_FIELDS, ...new Set(others)].join(", ");
}

function addVary(vary: string | undefined): string {
  return vary === undefined ? "Origin" : `${vary}, Origin`;
}
