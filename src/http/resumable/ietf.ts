import type { Digest } from "../../core/digest.ts";
import { asFixityError, FixityError } from "../../core/errors.ts";
import { HashedSource } from "../../core/intake.ts";
import type { Naming } from "../../core/file-name.ts";
import type { Receipt } from "../../core/link.ts";
import type { UploadId } from "../../core/upload-id.ts";
import type { AppendOptions } from "../../core/uploads/append.ts";
import { type EndedUpload, hasEnded, type UploadState } from "../../core/uploads/upload-state.ts";
import {
  algorithmsFor,
  announcedLength,
  announcesTrailerDigest,
  assertDigests,
  demandOf,
  DIGEST_FIELDS,
  trailerDemandOf,
} from "../request-content.ts";
import type { Answer, Exchange } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { booleanIn, formatBoolean, integerIn } from "../fields/upload-fields.ts";
import type { RouteContext } from "../handler.ts";
import { problemAnswer } from "../problem.ts";
import { receiptAnswer } from "../receipt-answer.ts";
import { type Interop, interopOf } from "./interop.ts";
import { refusal } from "./ietf-refusals.ts";
import { limitsField, noteOf, uploadsOf, withFields } from "./upload-state-answers.ts";

/** Media type of what is appended. */
export const PARTIAL_UPLOAD = "application/partial-upload";

const UPLOAD_RESUMPTION_SUPPORTED = 104;

/** What a request that creates an upload is about, besides its fields. */
export interface Creation extends Naming {
  /** What the link names, where the upload goes to a link. */
  readonly digest?: Digest;
}

/** Whether a request asks for an upload that can be resumed (draft-ietf-httpbis-resumable-upload, "Upload Creation"). */
export function wantsResumable({ fixity, exchange }: RouteContext): boolean {
  return fixity.uploads !== null && booleanIn(exchange.fields, "upload-complete") !== null;
}

/** "Upload Creation": an upload request as any other, whose `Upload-Complete` says that it may be resumed. */
export async function createUpload(context: RouteContext, creation: Creation): Promise<Answer> {
  const { fixity, exchange, client } = context;
  const uploads = uploadsOf(fixity);
  const interop = interopOf(exchange.fields);
  const facts = appendFacts(exchange, 0);
  const checks = checksOf(exchange, facts);
  const digest = creation.digest ?? checks.digest;
  if (checks.digest?.equals(digest ?? checks.digest) === false) {
    throw new FixityError("digest-mismatch", "The link and the digest field name different bytes.");
  }
  const length = agreedLength(facts.lengths);
  const { sha512 } = checks;
  const told = { ...creation, length, digest, sha512, client, first: facts, keepsComplete: false };
  const announce = (created: UploadState) => {
    const location = fixity.urlOfUpload(created.id);
    const limits = limitsField(uploads, interop, created.expires);
    sendInterim(context, interop, { Location: location, "Upload-Limit": limits });
    return { location, limits };
  };
  const hasContent = exchange.hasContent && (facts.announced !== 0 || checks.whole === true);
  if (!hasContent && !facts.completes) {
    const created = await uploads.create(told);
    if (hasEnded(created)) return endedAnswer(context, created);
    return openAnswer(created, { status: 201, ...announce(created) });
  }
  let fields: Fields | null = null;
  const run = (options: AppendOptions) =>
    uploads.createAndAppend(told, options, (created) => {
      const { location, limits } = announce(created);
      fields = { Location: location, "Upload-Limit": limits };
    });
  return appended(context, { run, interop, fields: () => fields, facts, checks, status: 201 });
}

/** "Offset Retrieval". */
export async function tellUpload(context: RouteContext, id: UploadId): Promise<Answer> {
  const { fixity, exchange } = context;
  const uploads = uploadsOf(fixity);
  const interop = interopOf(exchange.fields);
  refuseStrictly(exchange, interop);
  const state = await uploads.find(id, exchange.signal);
  const { outcome } = state;
  if (outcome instanceof Error) return withFields(problemAnswer(outcome), { "Upload-Complete": formatBoolean(true) });
  const answer = openAnswer(state, { status: 204, limits: limitsField(uploads, interop, state.expires) });
  if (outcome === null) return answer;
  // what the lost answer to the last append said
  return withFields(answer, {
    ...receiptAnswer(context, outcome).fields,
    ...answer.fields,
    "Content-Location": outcome.url,
  });
}

/**
 * "Offset Retrieval" by `GET` once the upload has become a file. The draft gives the content no meaning. A client that asks
 * for JSON gets the answer that completed the upload once more, any other is sent to the file.
 */
export function endedUpload(context: RouteContext, state: UploadState & { readonly outcome: Receipt }): Answer {
  const { fixity, exchange } = context;
  const limits = limitsField(uploadsOf(fixity), interopOf(exchange.fields), state.expires);
  const { fields } = openAnswer(state, { status: 200, limits });
  const { outcome } = state;
  if (/\bapplication\/json\b/.test(exchange.fields.get("accept") ?? "")) {
    return withFields(receiptAnswer(context, outcome), fields);
  }
  return { status: 303, fields: { ...fields, Location: outcome.url } };
}

/** "Upload Append". */
export async function appendToUpload(context: RouteContext, id: UploadId): Promise<Answer> {
  const { exchange } = context;
  const interop = interopOf(exchange.fields);
  if (interop.partialType && parseContentType(exchange.fields.get("content-type"))?.essence !== PARTIAL_UPLOAD) {
    const error = new FixityError("unsupported-media-type", `What is appended has the type ${PARTIAL_UPLOAD}.`);
    // which type would do (RFC 5789, section 2.2)
    return refusal(context, error, { "Accept-Patch": PARTIAL_UPLOAD });
  }
  const offset = integerIn(exchange.fields, "upload-offset");
  if (offset === null) throw new FixityError("invalid-field", "Upload-Offset must say where the content begins.");
  if (booleanIn(exchange.fields, "upload-complete") === null) {
    throw new FixityError("invalid-field", "Upload-Complete must say whether this is the end of the upload: ?1 or ?0.");
  }
  const facts = appendFacts(exchange, offset);
  const checks = checksOf(exchange, facts);
  const run = (options: AppendOptions) => uploadsOf(context.fixity).append(id, options);
  return appended(context, { run, interop, fields: () => ({}), facts, checks, status: interop.appended });
}

/** "Upload Cancellation". */
export async function cancelUpload({ fixity, exchange }: RouteContext, id: UploadId): Promise<Answer> {
  refuseStrictly(exchange, interopOf(exchange.fields));
  await uploadsOf(fixity).cancel(id);
  return { status: 204, fields: {} };
}

/** The limits that stand before an upload is created: for `OPTIONS`. */
export function announcedLimits({ fixity, exchange }: RouteContext): Record<string, string> {
  if (fixity.uploads === null) return {};
  return { "Upload-Limit": limitsField(fixity.uploads, interopOf(exchange.fields)), "Accept-Patch": PARTIAL_UPLOAD };
}

/** What a request says of the bytes that it brings. */
interface AppendFacts {
  readonly offset: number;
  readonly completes: boolean;
  readonly announced: number | undefined;
  readonly lengths: readonly number[];
}

/** @throws as {@link announcedLength} does */
function appendFacts(exchange: Exchange, offset: number): AppendFacts {
  const completes = booleanIn(exchange.fields, "upload-complete") ?? false;
  const announced = announcedLength(exchange);
  const told = integerIn(exchange.fields, "upload-length");
  // "The length is then the sum of the current offset and the Content-Length header field value"
  const lengths = [told, completes && announced !== undefined ? offset + announced : null];
  return { offset, completes, announced, lengths: lengths.filter((length) => length !== null) };
}

/** @throws FixityError `inconsistent-length` */
function agreedLength([first, second]: readonly number[]): number | undefined {
  if (second === undefined || first === second) return first;
  throw new FixityError("inconsistent-length", `The request tells two lengths: ${first} and ${second} bytes.`);
}

type Fields = Readonly<Record<string, string>>;

/** How the bytes of a request are taken, and answered for. */
interface Appending {
  readonly run: (options: AppendOptions) => Promise<UploadState>;
  readonly interop: Interop;
  readonly facts: AppendFacts;
  readonly checks: AppendChecks;
  /** Of the answer to a request that does not complete the upload, or fails; `null` if the upload was not created. */
  readonly fields: () => Fields | null;
  readonly status: 201 | 204;
}

async function appended(context: RouteContext, appending: Appending): Promise<Answer> {
  const { run, interop, facts, checks, fields, status } = appending;
  const { fixity, admission } = context;
  const uploads = uploadsOf(fixity);
  let offset: number | null = null;
  try {
    const state = await run({
      ...facts,
      ...checks,
      excessEnds: true,
      onFailure: (durable) => (offset = durable),
      admission,
      onProgress: (offset) => sendInterim(context, interop, { "Upload-Offset": String(offset) }),
    });
    if (hasEnded(state)) return endedAnswer(context, state);
    const limits = limitsField(uploads, interop, state.expires);
    return withFields(openAnswer(state, { status, limits }), fields() ?? {});
  } catch (error) {
    const own = fields();
    if (own === null) throw error;
    // the upload has become too large and has ended: that is the targeted resource's word
    const isFinal = offset === null && asFixityError(error).code === "size-limit-exceeded";
    return refusal(context, error, {
      ...own,
      ...(isFinal && { "Upload-Complete": formatBoolean(true) }),
      ...(offset !== null && { "Upload-Offset": String(offset) }),
    });
  }
}

type AppendChecks = Pick<AppendOptions, "source" | "whole" | "check" | "digest" | "sha512">;

/**
 * The content, and what its digest fields demand: `Content-Digest` of this content, `Repr-Digest` of the whole upload. Where
 * the content is meant to be the whole, both are about that, and it can be resumed.
 */
function checksOf(exchange: Exchange, { offset, completes }: AppendFacts): AppendChecks {
  const isWhole = completes && offset === 0;
  const ofWhole = isWhole ? DIGEST_FIELDS : (["repr-digest"] as const);
  const ofContent = isWhole ? [] : (["content-digest"] as const);
  const { sha256, sha512 } = demandOf(exchange.fields, ofWhole);
  const content = demandOf(exchange.fields, ofContent);
  const trailing = announcesTrailerDigest(exchange.fields, ofContent);
  const algorithms = algorithmsFor(content, trailing);
  const body = algorithms.length > 0 ? new HashedSource(exchange.body, algorithms) : null;
  return {
    source: body ?? exchange.body,
    whole: body !== null,
    digest: sha256 ?? undefined,
    sha512: sha512 ?? undefined,
    check: () => {
      const trailing = trailerDemandOf(exchange, body !== null, ofContent);
      if (body !== null) assertDigests(body, content, trailing);
      const told = trailerDemandOf(exchange, true, ofWhole);
      return { digest: told.sha256 ?? undefined, sha512: told.sha512 ?? undefined };
    },
  };
}

/** An answer with the state of an upload. */
function openAnswer(
  state: UploadState,
  { status, location, limits }: { readonly status: number; readonly location?: string; readonly limits: string },
): Answer {
  return {
    status,
    fields: {
      ...(location !== undefined && { Location: location }),
      "Upload-Complete": formatBoolean(state.outcome !== null),
      "Upload-Offset": String(state.offset),
      ...(state.length !== null && { "Upload-Length": String(state.length) }),
      "Upload-Limit": limits,
      "Cache-Control": "no-store",
    },
    note: noteOf(state),
  };
}

/** What the plain upload would have been answered; "the response MUST include the Upload-Complete header field with a true value". */
function endedAnswer(context: RouteContext, { offset, outcome }: EndedUpload): Answer {
  const answer = outcome instanceof Error ? problemAnswer(outcome) : receiptAnswer(context, outcome);
  return withFields(answer, { "Upload-Complete": formatBoolean(true), "Upload-Offset": String(offset) });
}

/**
 * Request fields that proxies add. What they say is not believed, but one that is there shows that a proxy stands between,
 * and nginx, the most common, cannot take a 104 from its upstream.
 */
const PROXY_FIELDS = [
  "via",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-server",
  "x-forwarded-scheme",
  "x-forwarded-ssl",
  "x-real-ip",
  "x-client-ip",
  "x-scheme",
  "x-amzn-trace-id",
  "true-client-ip",
  "cf-ray",
  "cdn-loop",
];

/** "Server implementations […] MUST NOT send a 104 […] when the interop version […] is missing or mismatching." */
function sendInterim(context: RouteContext, { version }: Interop, fields: Readonly<Record<string, string>>): void {
  const { exchange, options } = context;
  const { interimResponses } = options;
  if (version === null || interimResponses === false) return;
  if (interimResponses === "auto" && PROXY_FIELDS.some((name) => exchange.fields.get(name) !== undefined)) return;
  exchange.interim?.(UPLOAD_RESUMPTION_SUPPORTED, { "Upload-Draft-Interop-Version": String(version), ...fields });
}

function refuseStrictly({ fields }: Exchange, { strictFields }: Interop): void {
  const told = ["upload-offset", "upload-complete", "upload-length"].find((name) => fields.get(name) !== undefined);
  if (!strictFields || told === undefined) return;
  throw new FixityError("invalid-field", `${told} has no place in a request without bytes of the upload.`);
}
