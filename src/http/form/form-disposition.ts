import { dispositionParameters, fileNameIn } from "../fields/content-disposition.ts";
import { malformedForm } from "./form-errors.ts";

/** What a part's `Content-Disposition` says. */
export interface FormDisposition {
  /** The form field. */
  readonly name: string;
  /** As it was sent, not cleaned; empty for a file input that was left empty; `null` where the part has no file name. */
  readonly fileName: string | null;
}

/**
 * Parses the `Content-Disposition` of a form part (RFC 7578, section 4.2). A `filename*` has no place in a form by that
 * section, but is sent: it wins where it can be decoded, and says that the part is a file where it cannot.
 *
 * @throws FixityError `malformed-form`
 */
export function parseFormDisposition(text: string): FormDisposition {
  const end = text.indexOf(";");
  const type = text.slice(0, end === -1 ? undefined : end);
  if (type.trim().toLowerCase() !== "form-data") {
    throw malformedForm("A part's Content-Disposition is not form-data.");
  }
  const parameters = dispositionParameters(text);
  if (parameters === null) {
    throw malformedForm("A part's Content-Disposition is malformed, or gives a parameter twice.");
  }
  const name = parameters.get("name");
  if (name === undefined) throw malformedForm("A part has no field name.");
  return { name, fileName: fileNameIn(parameters) };
}
