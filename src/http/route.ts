import { UPLOADS_SEGMENT } from "../core/fixity.ts";
import { UploadId } from "../core/upload-id.ts";
import { admit } from "./request-content.ts";
import type { Answer } from "./exchange.ts";
import type { RouteContext } from "./handler.ts";
import { checkUploadPreconditions } from "./preconditions.ts";
import { wrongMethod } from "./wrong-method.ts";
import { announcedLimits, appendToUpload, cancelUpload, endedUpload, tellUpload } from "./resumable/ietf.ts";
import { answerAppend } from "./resumable/ietf-refusals.ts";
import {
  answerTus,
  appendToTusUpload,
  effectiveMethod,
  speaksTus,
  tellTusUpload,
  terminateTusUpload,
  tusOptions,
} from "./resumable/tus.ts";
import { uploadsOf } from "./resumable/upload-state-answers.ts";

type UploadRoute = (context: RouteContext, id: UploadId) => Promise<Answer>;

const IETF: Readonly<Record<string, UploadRoute>> = {
  DELETE: cancelUpload,
  GET: fetchUpload,
  HEAD: tellUpload,
  PATCH: appendToUpload,
};

const TUS: Readonly<Record<string, UploadRoute>> = {
  DELETE: terminateTusUpload,
  GET: fetchUpload,
  HEAD: tellTusUpload,
  PATCH: appendToTusUpload,
};

const METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH";

/** The id in a path behind the prefix, or `null` where that is no upload's. The path is not decoded: no slash hides in it. */
export function uploadIn(path: string): string | null {
  return path.startsWith(`/${UPLOADS_SEGMENT}/`) ? path.slice(UPLOADS_SEGMENT.length + 2) : null;
}

/** The address of one upload, in whichever protocol the request speaks. */
export async function uploadResource(context: RouteContext, id: string): Promise<Answer> {
  const { exchange } = context;
  const method = effectiveMethod(exchange);
  if (method === "OPTIONS") {
    return { status: 204, fields: { Allow: METHODS, ...announcedLimits(context), ...tusOptions(context) } };
  }
  const isTus = speaksTus(exchange);
  const routes = isTus ? TUS : IETF;
  const answer = async (): Promise<Answer> => {
    const route = Object.hasOwn(routes, method) ? routes[method] : undefined;
    if (route === undefined) return wrongMethod(method, METHODS);
    await admit(context, "upload");
    if (method === "PATCH" || method === "DELETE") checkUploadPreconditions(exchange);
    return route(context, UploadId.parse(id));
  };
  if (isTus) return answerTus(exchange, answer);
  return method === "PATCH" ? answerAppend(context, answer) : answer();
}

/** `GET`: what was stored, or how far the upload is. */
async function fetchUpload(context: RouteContext, id: UploadId): Promise<Answer> {
  const { fixity, exchange } = context;
  const state = await uploadsOf(fixity).find(id, exchange.signal);
  const { outcome } = state;
  if (outcome === null || outcome instanceof Error) return tellUpload(context, id);
  return endedUpload(context, { ...state, outcome });
}
