import { FixityError } from "../../core/errors.ts";

/** The form is malformed or truncated. */
export function malformedForm(message: string, cause?: unknown): FixityError {
  return new FixityError("malformed-form", message, { cause });
}

/** The syntax of a boundary, for errors about a form in which none was found. */
export const BOUNDARY_LINE = "A boundary follows two hyphens at the start of a line, and lines end with CRLF.";

/**
 * Hand-written forms often have bare line feeds. Without this message their authors search
 * elsewhere.
 */
export function bareLineFeed(where: string): FixityError {
  return malformedForm(`${where} ends with a bare line feed: lines of a form end with CRLF (RFC 2046, section 5.1.1).`);
}

/** Whether a line in these bytes ends with a line feed that no carriage return precedes. */
export function hasBareLineFeed(bytes: Buffer): boolean {
  return /(?:^|[^\r])\n/.test(bytes.toString("latin1"));
}

/** `what` exceeds its limit. */
export function overFormLimit(what: string, limit: number): FixityError {
  return new FixityError("form-limit-exceeded", `${what} exceeds the limit of ${limit}.`, { facts: { limit } });
}

/**
 * A caller violated the order in which parts must be read: a fault of the program, not of the form.
 */
export function misreadForm(message: string): FixityError {
  return new FixityError("internal-error", message);
}
