/** A request's place in a distributed trace (W3C Trace Context). */
export interface TraceParent {
  /** 32 hex digits: the whole trace. */
  readonly traceId: string;
  /** 16 hex digits: the caller's span. */
  readonly parentId: string;
}

/** Longer fields of later versions are ignored, so that a log line stays short and cheap. */
const FIELD_MAX_LENGTH = 256;

const FIELD = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(-.*)?$/;

/**
 * The ids in a `traceparent` field; `null` for a field that must be ignored: malformed, repeated, of
 * the invalid version `ff`, or with an id of zeros
 * (https://www.w3.org/TR/trace-context/#traceparent-header). A later version may add parts.
 */
export function parseTraceParent(field: string | undefined): TraceParent | null {
  if (field === undefined || field.length > FIELD_MAX_LENGTH) return null;
  const [, version, traceId = "", parentId = "", more] = FIELD.exec(field.trim()) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return null;
  return /^0+$/.test(traceId) || /^0+$/.test(parentId) ? null : { traceId, parentId };
}
