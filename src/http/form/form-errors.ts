import { FixityError } from "../../core/errors.ts";

/** A form that cannot be parsed, or that ends too early. */
export function malformedForm(message: string, cause?: unknown): FixityError {
  return new FixityError("malformed-form", message, { cause });
}

/** More of `what` than the limit allows. */
export function overFormLimit(what: string, limit: number): FixityError {
  return new FixityError("form-limit-exceeded", `${what} is over the limit of ${limit}.`, { facts: { limit } });
}

/** A part read in another order than {@link FormReader} says: a fault of the program, not of the form. */
export function misreadForm(message: string): FixityError {
  return new FixityError("internal-error", message);
}
