import { FixityError } from "../../core/errors.ts";

/** A form that cannot be parsed, or that ends too early. */
export function malformedForm(message: string, cause?: unknown): FixityError {
  return new FixityError("malformed-form", message, { cause });
}

/** How a boundary has to stand, for forms in which it is not found. */
export const BOUNDARY_LINE = "A boundary stands behind two hyphens at the start of a line, and lines end with CRLF.";

/** A form whose lines end with a line feed alone: hand-written ones do. Without this text its sender looks for another fault. */
export function bareLineFeed(where: string): FixityError {
  return malformedForm(
    `${where} ends with a line feed alone: lines of a form end with CRLF (RFC 2046, section 5.1.1).`,
  );
}

/** Whether a line in these bytes ends with a line feed that no carriage return precedes. */
export function hasBareLineFeed(bytes: Buffer): boolean {
  return /(?:^|[^\r])\n/.test(bytes.toString("latin1"));
}

/** More of `what` than the limit allows. */
export function overFormLimit(what: string, limit: number): FixityError {
  return new FixityError("form-limit-exceeded", `${what} is over the limit of ${limit}.`, { facts: { limit } });
}

/** A part read in another order than {@link FormReader} says: a fault of the program, not of the form. */
export function misreadForm(message: string): FixityError {
  return new FixityError("internal-error", message);
}
