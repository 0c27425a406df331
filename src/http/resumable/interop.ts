import type { Fields } from "../exchange.ts";
import { integerIn } from "../fields/upload-fields.ts";

/**
 * How the drafts of the resumable upload protocol differ in what is said on the wire. What a client's
 * `Upload-Draft-Interop-Version` names is what it is answered in.
 */
export interface Interop {
  /** `null`: none is named, as by clients of the final form. */
  readonly version: number | null;
  /** Appends have the type `application/partial-upload`. */
  readonly partialType: boolean;
  /** Status of an append that does not complete the upload. */
  readonly appended: 201 | 204;
  /** Key of the limit on an upload's age. */
  readonly ageLimit: "max-age" | "expires" | null;
  /** `Upload-Offset`, `Upload-Complete` and `Upload-Length` must not stand in requests that carry no bytes. */
  readonly strictFields: boolean;
}

const LATEST: Omit<Interop, "version"> = {
  partialType: true,
  appended: 204,
  ageLimit: "max-age",
  strictFields: false,
};

/** By interop version: 5 is draft -03, 6 is -04 and -05, 7 is -06 to -08, 8 is -09 and later. */
const VERSIONS: ReadonlyMap<number, Omit<Interop, "version">> = new Map([
  [5, { partialType: false, appended: 201, ageLimit: null, strictFields: true }],
  [6, { partialType: true, appended: 201, ageLimit: "expires", strictFields: true }],
  [7, LATEST],
  [8, LATEST],
]);

/** The version that a request speaks. An unknown one is answered in the final form, without interim answers. */
export function interopOf(fields: Fields): Interop {
  const named = integerIn(fields, "upload-draft-interop-version");
  const known = named === null ? undefined : VERSIONS.get(named);
  return known === undefined ? { version: null, ...LATEST } : { version: named, ...known };
}
