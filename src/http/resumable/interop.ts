import type { Fields } from "../exchange.ts";
import { integerIn } from "../fields/upload-fields.ts";

/**
 * How the drafts of the resumable upload protocol differ on the wire. A client is answered in the version that its
 * `Upload-Draft-Interop-Version` names.
 */
export interface Interop {
  /** `null` when the request names none, as clients of the final RFC will not. */
  readonly version: number | null;
  /** Appends must have the type `application/partial-upload`. */
  readonly partialType: boolean;
  /** Status of an append that does not complete the upload. */
  readonly appended: 201 | 204;
  /** Key of the limit on an upload's age. */
  readonly ageLimit: "max-age" | "expires" | null;
  /** `Upload-Offset`, `Upload-Complete` and `Upload-Length` are refused in requests that carry no bytes. */
  readonly strictFields: boolean;
}

const LATEST: Omit<Interop, "version"> = {
  partialType: true,
  appended: 204,
  ageLimit: "max-age",
  strictFields: false,
};

/** By interop version: 5 is draft -03, 6 is -04 and -05, 7 is -06 to -08, 8 is -09 to -11, 9 is -12 and later. */
const VERSIONS: ReadonlyMap<number, Omit<Interop, "version">> = new Map([
  [5, { partialType: false, appended: 201, ageLimit: null, strictFields: true }],
  [6, { partialType: true, appended: 201, ageLimit: "expires", strictFields: true }],
  [7, LATEST],
  [8, LATEST],
  [9, LATEST],
]);

/** The version that a request speaks. An unknown one is answered as the latest, without interim responses. */
export function interopOf(fields: Fields): Interop {
  const named = integerIn(fields, "upload-draft-interop-version");
  const known = named === null ? undefined : VERSIONS.get(named);
  return known === undefined ? { version: null, ...LATEST } : { version: named, ...known };
}
