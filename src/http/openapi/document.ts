/**
 * The description of the service in OpenAPI 3.1: which requests there are, and every answer that
 * they can have.
 *
 *     route.ts                the route table: one row for each kind of request
 *     route-descriptions.ts   for each row: parameters, content, answers, failures
 *     answers.ts              the answers and failures that rows share
 *     fields.ts, schemas.ts   header fields, parameters, JSON and the error catalogue
 *     responses.ts            merges the answers and failures of an operation
 *     document.ts             merges all of that into one document
 *
 * OpenAPI has one operation for each path and method. Both resumable protocols and the plain uploads
 * share paths and methods, so an operation is the union of its rows: a field or code that only some of
 * them have is optional, and the description lists the rows.
 *
 * Tests compare every response of the protocol suites with the document (`test/helpers/described.ts`).
 */
import { formatSize } from "../../base/format-size.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { Fixity } from "../../core/fixity.ts";
import { UploadId } from "../../core/upload-id.ts";
import type { ServerHandlerOptions } from "../options.ts";
import { allowedMethods, type Route, ROUTES } from "../route.ts";
import { type AnswerDescription, REDIRECTED } from "./answers.ts";
import { type FieldName, type ParameterName, PARAMETERS, type Schema } from "./fields.ts";
import { headerComponents, mergedContent, responsesOf, shareResponses } from "./responses.ts";
import { ROUTE_DESCRIPTIONS, type RouteDescription } from "./route-descriptions.ts";
import { SCHEMAS, schemaNamed } from "./schemas.ts";

/** A document of OpenAPI 3.1. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Readonly<Record<string, unknown>>;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** The operations of a path by their lower-case method, and what they share. */
export type PathItem = Readonly<Record<string, unknown>>;

/** The paths of the document below the prefix, by the kinds of resources there. */
const PATHS = { collection: "", link: "/{file}", name: "/{file}", upload: "/in-progress/{id}" } as const;

const OPERATIONS: Readonly<Record<string, readonly [id: string, summary: string]>> = {
  "POST ": ["uploadFile", "Stores a file, or creates a resumable upload"],
  "OPTIONS ": ["describeUploads", "Methods and limits; checks credentials"],
  "GET /{file}": ["readFile", "Reads a file by its link"],
  "HEAD /{file}": ["statFile", "The fields of a file"],
  "PUT /{file}": ["putFile", "Stores a file under its link, or by its name"],
  "DELETE /{file}": ["removeFile", "Removes a file"],
  "OPTIONS /{file}": ["describeFile", "Methods and limits"],
  "HEAD /in-progress/{id}": ["inspectUpload", "The state of a resumable upload"],
  "GET /in-progress/{id}": ["fetchUpload", "The state of a resumable upload, or its file"],
  "PATCH /in-progress/{id}": ["appendToUpload", "Continues a resumable upload"],
  "DELETE /in-progress/{id}": ["cancelUpload", "Cancels a resumable upload"],
  "OPTIONS /in-progress/{id}": ["describeUpload", "Methods and limits"],
};

/** Fields of answers about a file if the service has cache tags. */
const CACHE_TAGS: readonly FieldName[] = ["Cache-Tag", "Cache-Groups", "Cache-Group-Invalidation"];

/** The version of the HTTP interface. Clients must not depend on that of the program. */
const INTERFACE_VERSION = "1.0";

/** What a description depends on besides the routes. */
interface Facts {
  readonly fixity: Fixity;
  readonly options: ServerHandlerOptions;
  /** Whether requests can have credentials that this service checks. */
  readonly hasCredentials: boolean;
}

/**
 * Describes the service with these options.
 *
 * @param ownPaths the paths of the server besides the uploads
 */
export function describeService(
  fixity: Fixity,
  options: ServerHandlerOptions = {},
  ownPaths: Readonly<Record<string, PathItem>> = {},
): OpenApiDocument {
  const hasTokens = options.tokenSet === undefined ? (options.tokens ?? []).length > 0 : options.tokenSet() !== null;
  const facts: Facts = { fixity, options, hasCredentials: hasTokens || fixity.permits !== null };
  const { prefix } = fixity;
  const paths = Object.fromEntries(
    [...new Set(Object.values(PATHS))]
      .filter((path) => path !== PATHS.upload || fixity.uploads !== null)
      .map((path) => [prefix + path, pathItem(path, facts)]),
  );
  // With a slash the path is the same resource, for clients such as `curl -T`.
  const slash = { [`${prefix}/`]: { $ref: `#/paths/${prefix.replaceAll("/", "~1")}` } };
  const { paths: shared, responses } = shareResponses({ ...paths, ...slash, ...ownPaths });
  return {
    openapi: "3.1.1",
    info: infoOf(facts),
    servers: [{ url: serverUrl(fixity) }],
    paths: shared,
    components: {
      schemas: { ...SCHEMAS, Form: formSchema(options.fieldName) },
      headers: headerComponents(),
      responses,
      parameters: PARAMETERS,
      ...(facts.hasCredentials && { securitySchemes: securitySchemes() }),
    },
  };
}

function infoOf({ fixity, options }: Facts): OpenApiDocument["info"] {
  const { minAppendSize, maxAppendSize, expiry } = fixity.uploads?.limits ?? {};
  const limits = {
    maxSize: fixity.maxSize,
    ...(minAppendSize !== undefined && minAppendSize > 0 && { minAppendSize }),
    ...(maxAppendSize !== undefined && maxAppendSize < Number.MAX_SAFE_INTEGER && { maxAppendSize }),
    ...(expiry !== undefined && { expirySeconds: Math.floor(expiry / 1000) }),
  };
  return {
    title: "fixity",
    version: INTERFACE_VERSION,
    summary: "Every uploaded file gets a permanent, verified link.",
    description:
      `Files have at most ${formatSize(fixity.maxSize)}. Reads are ${fixity.reads === "public" ? "public" : "private"}. ` +
      "Every failure is a problem document with a stable `code` (RFC 9457); browsers that navigate get a page. A request " +
      "for any other path is 404, and one with another method 405. Requests that are not valid HTTP are 400, 408 or 431.\n\n" +
      "Resumable uploads follow the IETF draft, chosen by `Upload-Complete`, or tus 1.0, chosen by `Tus-Resumable`. The draft " +
      "also has interim responses (`104`), and digests can follow the content as trailer fields: OpenAPI describes neither. " +
      "A request of tus with `X-HTTP-Method-Override` is the request with that method.",
    license: { name: "MIT", identifier: "MIT" },
    "x-limits": limits,
    ...(options.downloads !== undefined && { "x-downloads": options.downloads.mode }),
  };
}

/** What precedes the paths: the public URL, or nothing for a service that does not know its own. */
function serverUrl(fixity: Fixity): string {
  const id = UploadId.random();
  return fixity.urlOfUpload(id).slice(0, -`${fixity.prefix}/in-progress/${id.hex}`.length) || "/";
}

function pathItem(path: string, facts: Facts): PathItem {
  const routes = ROUTES.filter(({ on }) => PATHS[on] === path);
  const methods = [...new Set(routes.map(({ method }) => method))];
  const operations = methods.map((method) => [
    method.toLowerCase(),
    operation(
      `${method} ${path}`,
      routes.filter((route) => route.method === method),
      facts,
    ),
  ]);
  return { ...Object.fromEntries(operations), options: optionsOperation(path, facts) };
}

/** One operation: the union of the routes with one path and method. */
function operation(key: string, routes: readonly Route[], facts: Facts): Schema {
  const described = routes.map(({ name }) => ROUTE_DESCRIPTIONS[name]).filter(({ needs }) => isAvailable(needs, facts));
  const [id, summary] = OPERATIONS[key] ?? [key, key];
  const [method = "", path = ""] = key.split(" ");
  const content = mergedContent(described.flatMap(({ content = {} }) => Object.entries(content)));
  const tags = path === PATHS.link && facts.options.cacheTags === true ? CACHE_TAGS : [];
  const failures = {
    codes: [
      ...described.flatMap(({ codes }) => codes),
      // A segment that is no link, or no name, leads nowhere.
      ...(path === PATHS.link ? (["not-found"] as const) : []),
      ...(routes.some(({ action }) => action === "create") ? (["permit-used"] as const) : []),
      ...serviceCodes(facts),
    ],
    fields: [...described.flatMap(({ failureFields = [] }) => failureFields), ...tags],
    isNavigation: method === "GET" || method === "HEAD" || key === "POST ",
  };
  return {
    operationId: id,
    summary,
    description: described.map(({ summary: text }) => `- ${text}`).join("\n"),
    ...parameters(path, method, described),
    ...(Object.keys(content).length > 0 && { requestBody: { content, required: method !== "POST" } }),
    responses: responsesOf(withOptional(answersOf(described, facts), tags), failures, method === "HEAD"),
    ...security(facts, path === PATHS.link && (method === "GET" || method === "HEAD")),
  };
}

function optionsOperation(path: string, facts: Facts): Schema {
  const [id, summary] = OPERATIONS[`OPTIONS ${path}`] ?? [];
  const description = `Also answers preflights of CORS. Methods: ${allowedMethods(path === "" ? "collection" : undefined)}.`;
  const answer: AnswerDescription = {
    status: 204,
    description: "The methods, and the limits on uploads.",
    fields: ["Allow"],
    optional: [
      ...(["Upload-Limit", "Accept-Patch", "Tus-Version", "Tus-Extension", "Tus-Max-Size"] as const),
      ...(["Tus-Checksum-Algorithm", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"] as const),
      "Access-Control-Max-Age",
    ],
  };
  const codes: readonly ErrorCode[] = [
    ...(path === "" ? (["unauthorized", "forbidden"] as const) : []),
    ...(path === PATHS.link ? (["not-found"] as const) : []),
    ...serviceCodes(facts),
  ];
  return {
    operationId: id,
    summary,
    description,
    ...parameters(path, "OPTIONS", []),
    responses: responsesOf([answer], { codes, fields: [], isNavigation: false }, false),
    ...security(facts, path !== ""),
  };
}

/** Failures of any request to a service with these options. */
function serviceCodes({ options }: Facts): readonly ErrorCode[] {
  return [
    ...(options.checkHost === undefined ? [] : (["unknown-host"] as const)),
    // The hook may deny that there is anything, and may make mistakes.
    ...(options.authorize === undefined ? [] : (["not-found", "invalid-option"] as const)),
  ];
}

/** The answers of some routes, without those of other ways to send files. */
function answersOf(described: readonly RouteDescription[], { options }: Facts): readonly AnswerDescription[] {
  const mode = options.downloads?.mode;
  const answers = described.flatMap((route) => route.answers);
  if (mode === "redirect") return answers;
  const sent = answers.filter((answer) => answer !== REDIRECTED);
  return mode === "accelerated" ? sent.map(asPassedOn) : sent;
}

/** The web server in front may set the file's `Cache-Control` itself. */
function asPassedOn(answer: AnswerDescription): AnswerDescription {
  const { fields, optional = [] } = answer;
  if (answer.status !== 200 || !fields.includes("ETag")) return answer;
  const others = fields.filter((name) => name !== "Cache-Control");
  return { ...answer, fields: others, optional: [...optional, "Cache-Control"] };
}

function withOptional(
  answers: readonly AnswerDescription[],
  fields: readonly FieldName[],
): readonly AnswerDescription[] {
  return answers.map((answer) => Object.assign({}, answer, { optional: [...(answer.optional ?? []), ...fields] }));
}

function isAvailable(needs: RouteDescription["needs"], { fixity, options }: Facts): boolean {
  if (needs === "uploads") return fixity.uploads !== null;
  return needs !== "view" || options.view === true;
}

function parameters(path: string, method: string, described: readonly RouteDescription[]): Schema {
  const names = new Set<ParameterName>(described.flatMap(({ parameters: given = [] }) => given));
  const references = [...names].map((name) => ({ $ref: `#/components/parameters/${name}` }));
  const inPath = pathParameter(path, method);
  const all = inPath === null ? references : [inPath, ...references];
  return all.length === 0 ? {} : { parameters: all };
}

function pathParameter(path: string, method: string): Schema | null {
  if (path === PATHS.collection) return null;
  const isUpload = path === PATHS.upload;
  const isForNames = method === "PUT" || method === "OPTIONS";
  const schema = isForNames ? { anyOf: [schemaNamed("Link"), schemaNamed("FileName")] } : schemaNamed("Link");
  return {
    name: isUpload ? "id" : "file",
    in: "path",
    required: true,
    description: isUpload
      ? "The upload: the last segment of its URL."
      : `A link's last segment${isForNames ? ", or the name of a file to store, which never names a resource" : ""}.`,
    schema: isUpload ? schemaNamed("UploadId") : schema,
  };
}

function formSchema(fieldName: string | undefined): Schema {
  return {
    type: "object",
    title: "Form",
    description:
      fieldName === undefined
        ? "One file, in a field of any name. Other fields are ignored."
        : `One file, in the field \`${fieldName}\`. Other fields are ignored.`,
    properties: { [fieldName ?? "file"]: { type: "string", contentMediaType: "application/octet-stream" } },
    ...(fieldName !== undefined && { required: [fieldName] }),
  };
}

function securitySchemes(): Readonly<Record<string, Schema>> {
  return {
    bearer: { type: "http", scheme: "bearer", description: "A token or a permit." },
    basic: { type: "http", scheme: "basic", description: "The same as the password; the user does not matter." },
    signedLink: { type: "apiKey", in: "query", name: "signature", description: "The query of a signed link." },
  };
}

/** What a request needs: nothing, or a token; for private reads a signed link will do. */
function security({ fixity, options, hasCredentials }: Facts, isRead: boolean): Schema {
  if (!hasCredentials) return {};
  const schemes = [{ bearer: [] }, { basic: [] }];
  if (isRead && fixity.reads === "public") return { security: [{}, ...schemes] };
  if (isRead && fixity.reads === "signed") return { security: [...schemes, { signedLink: [] }] };
  return { security: options.anonymous === "upload" ? [{}, ...schemes] : schemes };
}
