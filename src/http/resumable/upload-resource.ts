import { UPLOADS_SEGMENT } from "../../core/fixity.ts";
import { UploadId } from "../../core/upload-id.ts";
import { hasEnded } from "../../core/uploads/upload-state.ts";
import type { Answer } from "../exchange.ts";
import type { RouteContext } from "../handler.ts";
import { receiptAnswer } from "../receipt.ts";
import { wrongMethod } from "../wrong-method.ts";
import { announcedLimits, appendToUpload, cancelUpload, tellUpload } from "./ietf.ts";
import {
  answerTus,
  appendToTusUpload,
  speaksTus,
  tellTusUpload,
  terminateTusUpload,
  tusMethod,
  tusOptions,
} from "./tus.ts";
import { uploadsOf } from "./upload-answers.ts";

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

/** The address of one upload, in whichever protocol it is spoken to. */
export async function uploadResource(context: RouteContext, id: string): Promise<Answer> {
  const { exchange, options } = context;
  if (exchange.method === "OPTIONS") {
    return { status: 204, fields: { Allow: METHODS, ...announcedLimits(context), ...tusOptions(context) } };
  }
  const isTus = speaksTus(exchange);
  const answer = async (): Promise<Answer> => {
    const method = isTus ? tusMethod(exchange) : exchange.method;
    const routes = isTus ? TUS : IETF;
    const route = Object.hasOwn(routes, method) ? routes[method] : undefined;
    if (route === undefined) return wrongMethod(method, METHODS);
    await options.authorize(exchange, "upload");
    return route(context, UploadId.parse(id));
  };
  return isTus ? answerTus(exchange, answer) : answer();
}

/** `GET`: what was stored, or how far the upload is. */
async function fetchUpload(context: RouteContext, id: UploadId): Promise<Answer> {
  const { fixity, exchange } = context;
  const state = await uploadsOf(fixity).find(id, exchange.signal);
  if (!hasEnded(state) || state.outcome instanceof Error) return tellUpload(context, id);
  // whoever asks for JSON gets the answer that completed the upload once more, everybody else the file
  if (/\bapplication\/json\b/.test(exchange.fields.get("accept") ?? "")) return receiptAnswer(exchange, state.outcome);
  return { status: 303, fields: { Location: state.outcome.url, "Cache-Control": "no-store" } };
}
