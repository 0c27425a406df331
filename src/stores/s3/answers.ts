import type { S3Answer } from "./client.ts";
import { S3Error } from "./s3-error.ts";
import { parseXml, type XmlElement } from "./xml.ts";

/**
 * The root element that an answer of status 200 has to have. Completions and copies may fail after the status was sent, so
 * that the answer is `200` with an `<Error>` ("CompleteMultipartUpload" in the S3 API reference); such an answer, and one
 * that is cut off or something else altogether, is a failure that says nothing of what was done.
 */
export function expectRoot(operation: string, answer: S3Answer, name: string): XmlElement {
  const root = parseXml(answer.text);
  if (root?.name === name) return root;
  const isError = root?.name === "Error";
  throw new S3Error({
    operation,
    status: answer.status,
    code: isError ? root.text("Code") : null,
    detail: isError ? null : `the answer is no ${name}`,
    requestId: answer.headers("x-amz-request-id"),
  });
}

/** Text that the element must have. */
export function expectText(operation: string, element: XmlElement, name: string): string {
  const text = element.text(name);
  if (text !== null && text !== "") return text;
  throw new S3Error({ operation, status: 200, detail: `${element.name} has no ${name}` });
}

/** An entity tag in quotation marks; Ceph leaves them out in some answers and all of it in others. `null` for none. */
export function entityTag(text: string | null): string | null {
  const bare = text?.replace(/^"|"$/g, "") ?? "";
  return bare === "" ? null : `"${bare}"`;
}
