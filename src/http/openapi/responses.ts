import { type ErrorCode, ERRORS } from "../../core/errors.ts";
import { ANY, type AnswerDescription, SAFE } from "./answers.ts";
import { type FieldName, RESPONSE_FIELDS, type Schema } from "./fields.ts";
import { OF_THE_FILE } from "../problem.ts";
import { problemSchema } from "./schemas.ts";

/** Fields that any answer may have: those of CORS, and that of tus. */
const ALWAYS_OPTIONAL: readonly FieldName[] = [
  "Access-Control-Allow-Origin",
  "Access-Control-Expose-Headers",
  "Tus-Resumable",
  "Vary",
];
const PAGE_FIELDS: readonly FieldName[] = ["Cross-Origin-Opener-Policy", "X-Frame-Options"];

/** The failures of an operation. */
export interface Failures {
  readonly codes: readonly ErrorCode[];
  readonly fields: readonly FieldName[];
  /** Whether a browser may get a page instead of a problem. */
  readonly isNavigation: boolean;
}

/**
 * The responses of an operation by status: its answers, its failures, and those of any request.
 *
 * @param isHead whether they have no content
 */
export function responsesOf(
  answers: readonly AnswerDescription[],
  failures: Failures,
  isHead: boolean,
): Readonly<Record<string, Schema>> {
  const codes = [...new Set([...ANY, ...failures.codes])];
  const statuses = Map.groupBy(codes, (code) => ERRORS[code].status);
  const failed = Array.from(statuses, ([status, group]) => failureAnswer(status, group, failures));
  const byStatus = Map.groupBy([...answers, ...failed], ({ status }) => status);
  const sorted = [...byStatus].toSorted(([a], [b]) => a - b);
  return Object.fromEntries(sorted.map(([status, group]) => [String(status), response(group, isHead)]));
}

/** The answer to failures of one status. */
function failureAnswer(status: number, codes: readonly ErrorCode[], failures: Failures): AnswerDescription {
  const alwaysRetryable = codes.every((code) => ERRORS[code].retryAfterSeconds !== undefined);
  const required: FieldName[] = [...SAFE, "Cache-Control", "X-Request-Id"];
  if (alwaysRetryable) required.push("Retry-After");
  if (status === 401) required.push("WWW-Authenticate");
  if (status === 416) required.push("Content-Range");
  const optional: readonly FieldName[] = [
    ...failures.fields,
    "Retry-After",
    ...(codes.some((code) => OF_THE_FILE.has(code)) ? (["Problem-Code"] as const) : []),
    ...(failures.isNavigation ? PAGE_FIELDS : []),
  ];
  return {
    status,
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(" "),
    fields: required,
    optional,
    content: {
      "application/problem+json": problemSchema(status, codes),
      ...(failures.isNavigation && { "text/html": { type: "string", description: "For browsers: a page." } }),
    },
  };
}

/** One response: the union of the answers with one status. A field that only some have is optional. */
function response(answers: readonly AnswerDescription[], isHead: boolean): Schema {
  const required = answers.map(({ fields }) => new Set(fields)).reduce((shared, fields) => shared.intersection(fields));
  const all = new Set<FieldName>([
    ...answers.flatMap(({ fields, optional = [] }) => [...fields, ...optional]),
    ...ALWAYS_OPTIONAL,
  ]);
  const content = isHead ? {} : mergedContent(answers.flatMap(({ content: given = {} }) => Object.entries(given)));
  return {
    description: [...new Set(answers.map(({ description }) => description))].join(" "),
    headers: Object.fromEntries(
      [...all]
        .toSorted()
        .map((name) => [name, { $ref: `#/components/headers/${name}${required.has(name) ? ".required" : ""}` }]),
    ),
    ...(Object.keys(content).length > 0 && { content }),
  };
}

/** The media types of several alternatives. `null` stands for the bytes of a file. */
export function mergedContent(
  entries: readonly (readonly [string, Schema | null])[],
): Readonly<Record<string, Schema>> {
  const byType = Map.groupBy(entries, ([type]) => type);
  return Object.fromEntries(
    Array.from(byType, ([type, group]) => {
      const schemas = new Set(group.map(([, schema]) => schema));
      const [only = null] = schemas;
      if (only === null) return [type, {}];
      return [type, { schema: schemas.size === 1 ? only : { anyOf: [...schemas] } }];
    }),
  );
}

/** Every field twice: as an optional one, and as one that is always there. */
export function headerComponents(): Readonly<Record<string, Schema>> {
  return Object.fromEntries(
    Object.entries(RESPONSE_FIELDS).flatMap(([name, field]) => [
      [name, { ...field }],
      [`${name}.required`, { ...field, required: true }],
    ]),
  );
}

/** A document's parts that {@link shareResponses} changes. */
interface Shared {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** For `components.responses`. */
  readonly responses: Readonly<Record<string, Schema>>;
}

/** Replaces responses that several operations have by references: most failures are the same everywhere. */
export function shareResponses(paths: Shared["paths"]): Shared {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  for (const { operation, status, response: given } of responsesIn(paths)) {
    const text = JSON.stringify(given);
    counts.set(text, (counts.get(text) ?? 0) + 1);
    if (!names.has(text)) names.set(text, `${status}.${operation}`);
  }
  const shared: Record<string, Schema> = {};
  const reference = (given: Schema): Schema => {
    const text = JSON.stringify(given);
    const name = names.get(text);
    if (name === undefined || counts.get(text) === 1) return given;
    shared[name] = given;
    return { $ref: `#/components/responses/${name}` };
  };
  const withReferences = (operation: Operation): Operation => ({
    ...operation,
    responses: mapValues(operation.responses, reference),
  });
  return {
    paths: mapValues(paths, (item) => mapValues(item, (part) => (isOperation(part) ? withReferences(part) : part))),
    responses: shared,
  };
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Schema>>;
}

function isOperation(part: unknown): part is Operation {
  return typeof part === "object" && part !== null && "operationId" in part;
}

function* responsesIn(paths: Shared["paths"]): Generator<{ operation: string; status: string; response: Schema }> {
  for (const part of Object.values(paths).flatMap((item) => Object.values(item))) {
    if (!isOperation(part)) continue;
    for (const [status, given] of Object.entries(part.responses)) {
      yield { operation: part.operationId, status, response: given };
    }
  }
}

function mapValues<From, To>(object: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));
}
