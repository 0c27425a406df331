import { type Meta, Uppy, type UppyFile } from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import Fixity, { type FixityBody } from "../../uppy.ts";
import { announce } from "../announce.ts";
import type { Facts } from "../facts.ts";
import { find } from "../find.ts";
import { formatSize, formatTime } from "../format.ts";
import type { UploadProgress } from "../../client/types.ts";
import type { ResultList } from "../results/list.ts";
import { resultOf } from "../results/result.ts";
import { fill, type Language } from "../text/language.ts";
import { Token } from "../token.ts";
import { takeAnywhere } from "./anywhere.ts";
import { showFailures } from "./failures.ts";
import { startHashWorker } from "./hash-worker.ts";
import { Pace } from "./pace.ts";
import { watchUnfinished } from "./unfinished.ts";

/** Languages that are written from right to left, of those that Uppy has. */
const RIGHT_TO_LEFT: ReadonlySet<string> = new Set(["ar", "fa", "he"]);

type File = UppyFile<Meta, FixityBody>;

/** What fails is shown; that a small picture came too late for a file that had gone is no error for the console. */
const SILENT = { debug: (): void => {}, warn: (): void => {}, error: (): void => {} };

/** What the uploader is made of. */
export interface UploaderParts {
  readonly facts: Facts;
  readonly language: Language;
  readonly results: ResultList;
}

/** Where files come in: Uppy's Dashboard. What is stored leaves it for the list of links. */
export function startUploader({ facts, language, results }: UploaderParts): Uppy<Meta, FixityBody> {
  const place = find(document, "#uploader", HTMLElement);
  const uppy = new Uppy<Meta, FixityBody>({
    logger: SILENT,
    restrictions: { maxFileSize: facts.maxSize },
    ...(language.uppy !== null && { locale: language.uppy }),
  });
  const token = new Token(facts.needsToken, language.texts, () => upload(uppy));
  addDashboard(uppy, { place, facts, language });
  uppy.use(Fixity, { endpoint: facts.endpoint, headers: () => token.headers, worker: startHashWorker });
  showFailures(uppy, language);
  uppy.on("files-added", () => (token.isMissing ? token.ask() : upload(uppy)));
  uppy.on("upload-error", (_file, _error, response) => {
    if (response?.status === 401) token.ask();
  });
  uppy.on("upload-success", (file, response) => {
    const result = file === undefined ? null : resultOf(response.body, file.name ?? "");
    if (result !== null) results.add(result, file?.data instanceof Blob ? file.data : null);
  });
  uppy.on("complete", ({ successful = [] }) => {
    if (successful.length === 0) return;
    if (successful.length > 1) announce(fill(language.texts.uploadsDone, { count: successful.length }));
    moveOn(uppy, successful, place, results);
  });
  tellUnfinished(uppy, language);
  window.addEventListener("beforeunload", (event) => {
    if (Object.keys(uppy.getState().currentUploads).length > 0) event.preventDefault();
  });
  return uppy;
}

interface DashboardParts {
  readonly place: HTMLElement;
  readonly facts: Facts;
  readonly language: Language;
}

function addDashboard(uppy: Uppy<Meta, FixityBody>, { place, facts, language }: DashboardParts): void {
  const { texts, uppyLang } = language;
  const hasTouch = matchMedia("(pointer: coarse)").matches;
  place.lang = uppyLang;
  uppy.use(Dashboard, {
    target: place,
    inline: true,
    width: "100%",
    height: hasTouch ? 420 : 340,
    theme: "auto",
    note: fill(texts.limit, { limit: facts.maxSizeText }),
    direction: RIGHT_TO_LEFT.has(uppyLang) ? "rtl" : "ltr",
    fileManagerSelectionType: hasTouch ? "files" : "both",
    showNativePhotoCameraButton: hasTouch,
    showNativeVideoCameraButton: hasTouch,
    proudlyDisplayPoweredByUppy: false,
    hideProgressAfterFinish: true,
    hideProgressDetails: true,
    // it tells for five seconds what is to be read at leisure
    disableInformer: true,
    // files go as they come; a button would only wait for a token
    hideUploadButton: true,
    // the list of links has a picture of its own
    waitForThumbnailsBeforeUpload: false,
  });
  uppy.use(Pace, { target: Dashboard, say: (progress) => paceOf(progress, language) });
  const dashboard = uppy.getPlugin<Dashboard<Meta, FixityBody>>("Dashboard");
  new MutationObserver(() => place.querySelector(".uppy-Dashboard-files")?.setAttribute("role", "list")).observe(
    place,
    // its items say that they are some, and it does not say that it is a list
    { childList: true, subtree: true },
  );
  takeAnywhere(place, (files) => dashboard?.addFiles(files));
}

function paceOf({ bytes, total, rate, remaining }: UploadProgress, { texts, lang }: Language): string {
  return fill(texts.progress, {
    sent: formatSize(bytes, lang),
    total: formatSize(total ?? 0, lang),
    rate: formatSize(rate ?? 0, lang),
    time: formatTime(remaining ?? 0, lang),
  });
}

/** What fails is shown by who listens to it. */
function upload(uppy: Uppy<Meta, FixityBody>): void {
  uppy.upload().catch((error: unknown) => uppy.log(String(error), "warning"));
}

/** Takes what is stored out of the Dashboard, and whoever used the keyboard there to the links. */
function moveOn(uppy: Uppy<Meta, FixityBody>, stored: readonly File[], place: HTMLElement, results: ResultList): void {
  const hadFocus = place.contains(document.activeElement);
  uppy.removeFiles(stored.map(({ id }) => id));
  requestAnimationFrame(() => {
    if (hadFocus && document.activeElement === document.body) results.focus();
  });
}

function tellUnfinished(uppy: Uppy<Meta, FixityBody>, { texts }: Language): void {
  const left = watchUnfinished(uppy);
  if (left.length === 0) return;
  const note = find(document, "#interrupted", HTMLElement);
  note.textContent = fill(texts.interrupted, { names: left.join(", ") });
  note.hidden = false;
  uppy.once("files-added", () => {
    note.hidden = true;
  });
}
