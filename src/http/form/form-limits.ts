import { FixityError } from "../../core/errors.ts";

/** Limits on everything in a form except its files: whoever reads those, counts them. */
export interface FormLimits {
  /**
   * Parts, files and fields together.
   *
   * @default 100
   */
  readonly parts?: number;
  /**
   * Parts that are fields.
   *
   * @default 64
   */
  readonly fields?: number;
  /**
   * Bytes of one field's value.
   *
   * @default 65536
   */
  readonly fieldSize?: number;
  /**
   * Bytes of one part's header section.
   *
   * @default 16384
   */
  readonly headSize?: number;
  /**
   * Bytes before the first boundary, and bytes after the last.
   *
   * @default 65536
   */
  readonly outsideSize?: number;
}

/** {@link FormLimits}, checked and complete. */
export type ResolvedFormLimits = Required<FormLimits>;

/** What holds where nothing else is said. */
export const DEFAULT_LIMITS: ResolvedFormLimits = {
  parts: 100,
  fields: 64,
  fieldSize: 64 * 1024,
  headSize: 16 * 1024,
  outsideSize: 64 * 1024,
};

/** @throws FixityError `invalid-option` */
export function resolveFormLimits(limits: FormLimits): ResolvedFormLimits {
  const resolved = { ...DEFAULT_LIMITS, ...limits };
  for (const [name, limit] of Object.entries(resolved)) {
    if (!(limit >= 0)) throw new FixityError("invalid-option", `The form limit ${name} must be a number, 0 or more.`);
  }
  return resolved;
}
