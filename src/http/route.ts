import type { RequestSource } from "../core/diagnostics.ts";
import { FixityError } from "../core/errors.ts";
import { UPLOADS_SEGMENT } from "../core/fixity.ts";
import { Link } from "../core/link.ts";
import { UploadId } from "../core/upload-id.ts";
import type { Action } from "../access/principal.ts";
import type { Answer, Exchange } from "./exchange.ts";
import { isForm } from "./fields/content-type.ts";
import { checkUploadPreconditions } from "./preconditions.ts";
import { failureOf, MethodNotAllowed, problemAnswer } from "./problem.ts";
import type { AdmittedRequest, AuthorizedRequest } from "./request.ts";
import {
  appendToUpload,
  cancelUpload,
  createUpload,
  creationFailureAnswer,
  failureAnswer,
  fetchUpload,
  uploadOptions,
  uploadState,
  wantsResumable,
} from "./resumable/ietf.ts";
import { appendToTusUpload, createTusUpload, terminateTusUpload, tusOptions, tusUploadState } from "./resumable/tus.ts";
import { uploadFailureAnswer } from "./resumable/upload-answers.ts";
import { readBlob, removeBlob } from "./routes/blob.ts";
import { mayBeName, postFile, putToLink, putToName, storeContent } from "./routes/upload.ts";
import { uploadForm } from "./routes/upload-form.ts";
import { asksForView, viewBlob } from "./routes/view-blob.ts";

/** The kinds of resources, and what identifies a resource of each kind. */
interface Targets {
  /** The collection. With a trailing slash, its path accepts uploads only. */
  readonly collection: "" | "/";
  /** `<digest>[.<extension>]`. */
  readonly link: Link;
  /** Any other single segment, where a file can be stored by `PUT`. It never names a resource. */
  readonly name: string;
  /** `in-progress/<id>`: a resumable upload. The id is not validated. */
  readonly upload: string;
}

type Kind = keyof Targets;

/** What a path below the prefix addresses. */
export type Resource = { [K in Kind]: { readonly kind: K; readonly target: Targets[K] } }[Kind];

/** What a route does. `openapi/route-descriptions.ts` describes each to clients. */
export type RouteName =
  | "create-tus-upload"
  | "upload-form"
  | "create-upload"
  | "store-content"
  | "view-blob"
  | "read-blob"
  | "ask-whether-stored"
  | "stat-blob"
  | "put-to-link-resumably"
  | "put-to-link"
  | "remove-blob"
  | "put-to-name-resumably"
  | "put-to-name"
  | "tus-upload-state"
  | "fetch-upload"
  | "append-to-tus-upload"
  | "terminate-tus-upload"
  | "upload-state"
  | "append-to-upload"
  | "cancel-upload";

/** One row of the route table. */
export type Route = { [K in Kind]: RouteOn<K> }[Kind];

interface RouteOn<K extends Kind> {
  readonly on: K;
  readonly name: RouteName;
  readonly method: string;
  /** Which requests with this method match; without it, all that no earlier row matches. */
  readonly when?: (request: AdmittedRequest) => boolean;
  /** What the request must be authorized for. */
  readonly action: Action;
  readonly run: (request: AuthorizedRequest, target: Targets[K]) => Promise<Answer>;
  /** The answer to a request that is refused or fails; without it, that of `problemOrPage`. */
  readonly failure?: (request: AdmittedRequest, error: unknown) => Answer;
  /** Whether the response is a download, for diagnostics. */
  readonly isDownload?: boolean;
  /** For diagnostics. @default "plain" */
  readonly protocol?: RequestSource["protocol"];
}

const tus = {
  when: ({ exchange }: AdmittedRequest) => speaksTus(exchange),
  failure: tusFailure,
  protocol: "tus",
} as const;
const resumable = { when: wantsResumable, failure: creationFailureAnswer, protocol: "ietf" } as const;
const ietf = { protocol: "ietf" } as const;
const stored = { when: asksWhetherStored, failure: notStatedFailure };

/** All requests that the service answers, except `OPTIONS`. The first matching row applies. */
export const ROUTES: readonly Route[] = [
  { on: "collection", name: "create-tus-upload", method: "POST", ...tus, action: "create", run: createTusUpload },
  {
    on: "collection",
    name: "upload-form",
    method: "POST",
    when: sendsForm,
    protocol: "form",
    action: "create",
    run: uploadForm,
  },
  {
    on: "collection",
    name: "create-upload",
    method: "POST",
    ...resumable,
    action: "create",
    run: postFile(createUpload),
  },
  { on: "collection", name: "store-content", method: "POST", action: "create", run: postFile(storeContent) },

  { on: "link", name: "view-blob", method: "GET", when: asksForView, action: "view", run: viewBlob },
  { on: "link", name: "view-blob", method: "HEAD", when: asksForView, action: "view", run: viewBlob },
  { on: "link", name: "read-blob", method: "GET", action: "read", run: readBlob, isDownload: true },
  { on: "link", name: "ask-whether-stored", method: "HEAD", ...stored, action: "stat", run: readBlob },
  { on: "link", name: "stat-blob", method: "HEAD", action: "stat", run: readBlob },
  {
    on: "link",
    name: "put-to-link-resumably",
    method: "PUT",
    ...resumable,
    action: "create",
    run: putToLink(createUpload),
  },
  { on: "link", name: "put-to-link", method: "PUT", action: "create", run: putToLink(storeContent) },
  { on: "link", name: "remove-blob", method: "DELETE", action: "remove", run: removeBlob },

  {
    on: "name",
    name: "put-to-name-resumably",
    method: "PUT",
    ...resumable,
    action: "create",
    run: putToName(createUpload),
  },
  { on: "name", name: "put-to-name", method: "PUT", action: "create", run: putToName(storeContent) },

  { on: "upload", name: "tus-upload-state", method: "HEAD", ...tus, action: "inspect", run: reading(tusUploadState) },
  { on: "upload", name: "fetch-upload", method: "GET", ...tus, action: "inspect", run: reading(fetchUpload) },
  {
    on: "upload",
    name: "append-to-tus-upload",
    method: "PATCH",
    ...tus,
    action: "append",
    run: changing(appendToTusUpload),
  },
  {
    on: "upload",
    name: "terminate-tus-upload",
    method: "DELETE",
    ...tus,
    action: "cancel",
    run: changing(terminateTusUpload),
  },
  { on: "upload", name: "upload-state", method: "HEAD", ...ietf, action: "inspect", run: reading(uploadState) },
  { on: "upload", name: "fetch-upload", method: "GET", ...ietf, action: "inspect", run: reading(fetchUpload) },
  {
    on: "upload",
    name: "append-to-upload",
    method: "PATCH",
    ...ietf,
    action: "append",
    run: changing(appendToUpload),
    failure: failureAnswer,
  },
  { on: "upload", name: "cancel-upload", method: "DELETE", ...ietf, action: "cancel", run: changing(cancelUpload) },
];

/** For diagnostics: how a request came that a row applies to. */
export function sourceOf({ on, protocol = "plain" }: Pick<Route, "on" | "protocol">): RequestSource {
  return { route: on, protocol };
}

/** What a path addresses, or `null`. It is not decoded, so an encoded slash separates nothing. */
export function resourceAt(pathBelowPrefix: string): Resource | null {
  if (pathBelowPrefix === "" || pathBelowPrefix === "/") return { kind: "collection", target: pathBelowPrefix };
  const path = pathBelowPrefix.slice(1);
  if (path.startsWith(`${UPLOADS_SEGMENT}/`)) {
    return { kind: "upload", target: path.slice(UPLOADS_SEGMENT.length + 1) };
  }
  const link = Link.fromSegment(path);
  if (link !== null) return { kind: "link", target: link };
  return mayBeName(path) ? { kind: "name", target: path } : null;
}

/** The row for a request, or `null` if the resource does not support its method. */
export function routeFor(request: AdmittedRequest, { kind }: Resource): Route | null {
  const method = methodOn(request.exchange, kind);
  const matches = ({ on, method: routeMethod, when }: Route): boolean =>
    on === kind && routeMethod === method && (when === undefined || when(request));
  return ROUTES.find(matches) ?? null;
}

/**
 * The refusal of a method that a resource does not support. Uploads are all that a name, or the
 * collection's path with a slash, exists for: they look nonexistent to other methods.
 */
export function wrongMethod(exchange: Exchange, { kind, target }: Resource): FixityError {
  if (kind === "name" || target === "/") return notFound();
  const method = methodOn(exchange, kind);
  const allowed = allowedMethods(kind);
  const isPutToCollection = kind === "collection" && method === "PUT";
  const remedy = isPutToCollection ? " To store a file by PUT, add a slash: curl -T FILE URL/" : "";
  return new MethodNotAllowed(`${method} is not allowed here. Allowed methods: ${allowed}.${remedy}`, allowed);
}

/** There is nothing at the path of a request. */
export function notFound(): FixityError {
  return new FixityError("not-found", "There is nothing at this URL.");
}

/** The answer to `OPTIONS`: the methods of a resource, and limits on uploads. */
export function optionsAnswer(request: Pick<AdmittedRequest, "fixity" | "exchange">, { kind }: Resource): Answer {
  const speaksTusHere = kind === "collection" || kind === "upload";
  return {
    status: 204,
    fields: {
      Allow: allowedMethods(kind),
      ...uploadOptions(request),
      ...(speaksTusHere && tusOptions(request)),
    },
  };
}

/** The methods that a kind of resource supports, or that any does. */
export function allowedMethods(kind?: Kind): string {
  const routes = kind === undefined ? ROUTES : ROUTES.filter(({ on }) => on === kind);
  return [...new Set(["OPTIONS", ...routes.map(({ method }) => method)])].sort().join(", ");
}

/** Whether a request speaks tus. */
export function speaksTus({ fields }: Exchange): boolean {
  return fields.get("tus-resumable") !== undefined;
}

/**
 * The method that a request means. "The actual method of the request MUST be ignored" if
 * `X-HTTP-Method-Override` names another, in requests of tus and for its `OPTIONS`, which needs no
 * `Tus-Resumable`.
 */
export function effectiveMethod(exchange: Exchange): string {
  const { method, fields } = exchange;
  const override = fields.get("x-http-method-override")?.trim().toUpperCase();
  return override !== undefined && (speaksTus(exchange) || override === "OPTIONS") ? override : method;
}

/** The method for a resource. Overrides belong to tus, so they do not apply to links and names. */
function methodOn(exchange: Exchange, kind: Kind): string {
  return kind === "link" || kind === "name" ? exchange.method : effectiveMethod(exchange);
}

function sendsForm({ exchange }: AdmittedRequest): boolean {
  return isForm(exchange.fields.get("content-type"));
}

/**
 * Clients ask for every large file whether it is stored. Browsers show each 404 to the developers of
 * a page as an error, so this question has an answer that is none.
 */
function asksWhetherStored({ query }: AdmittedRequest): boolean {
  return query.has("stored");
}

/** Failures after which the client has to upload the file. */
const NOT_STATED: ReadonlySet<string> = new Set(["blob-not-found", "blob-damaged", "blob-blocked", "forbidden"]);

function notStatedFailure({ exchange }: AdmittedRequest, thrown: unknown): Answer {
  const error = failureOf(exchange, thrown);
  return NOT_STATED.has(error.code) ? { status: 204, fields: { "Cache-Control": "no-store" } } : problemAnswer(error);
}

function tusFailure({ exchange }: AdmittedRequest, error: unknown): Answer {
  return uploadFailureAnswer(exchange, error);
}

type UploadRoute = (request: AuthorizedRequest, id: UploadId) => Promise<Answer>;

/** A route that reads the state of an upload. */
function reading(run: UploadRoute): RouteOn<"upload">["run"] {
  return async (request, id) => run(request, UploadId.parse(id));
}

/** A route that changes an upload, so its request may have preconditions. */
function changing(run: UploadRoute): RouteOn<"upload">["run"] {
  return async (request, id) => {
    checkUploadPreconditions(request.exchange);
    return run(request, UploadId.parse(id));
  };
}
