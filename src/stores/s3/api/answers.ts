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
  throw unexpected(operation, answer, `the answer is no ${name}`);
}

/**
 * How an error begins. Any amount of white space may stand in front of it, by which S3 keeps a connection open while it
 * completes an upload. A listing is long, and is not to be parsed twice for this.
 */
const ERROR = /^\uFEFF?\s*(?:<\?xml[^>]*>\s*)?<(?:[\w.-]+:)?Error[\s/>]/;

/**
 * An `<Error>` under a status of success, which servers and the proxies before them send for any operation, is a failure.
 * Asked of every answer that has been read, so that none has to remember it.
 */
export function refuseError(operation: string, answer: S3Answer): void {
  if (!ERROR.test(answer.text)) return;
  const root = parseXml(answer.text);
  if (root?.name !== "Error") return;
  const requestId = answer.headers("x-amz-request-id");
  throw new S3Error({ operation, status: answer.status, code: root.text("Code"), requestId });
}

/** The entity tag in an answer's header section, which every answer about an object has. */
export function expectTag(operation: string, answer: Omit<S3Answer, "text">): string {
  const etag = entityTag(answer.headers("etag"));
  if (etag !== null) return etag;
  throw unexpected(operation, answer, "the answer has no ETag");
}

function unexpected(operation: string, { status, headers }: Omit<S3Answer, "text">, detail: string): S3Error {
  return new S3Error({ operation, status, detail, requestId: headers("x-amz-request-id") });
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
