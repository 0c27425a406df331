/** Sets up Uppy's Dashboard for choosing files. A stored file moves from there to the results. */
import { type Meta, Uppy, type UppyFile } from "@uppy/core";
import { getDroppedFiles } from "@uppy/core/utils";
import Fixity, { type FixityBody, type HashWorker } from "../../uppy.ts";
// Vite makes this default export; the file has none.
// oxlint-disable-next-line import/default
import workerUrl from "../../client/hash-worker.ts?worker&url";
import { announce, find } from "../dom.ts";
import { formatSize } from "../format.ts";
import type { ResultList } from "../results/list.ts";
import { Permit, takePermit } from "../permit.ts";
import { parseResult, type Result } from "../results/result.ts";
import type { PageSettings } from "../settings.ts";
import { readList, write } from "../storage.ts";
import { fill, type Language } from "../text/language.ts";
import { takeToken, Token } from "../token.ts";
import { showFailures } from "./failures.ts";
import { PageDashboard } from "./dashboard.ts";
import { metadataRemoval } from "./metadata.ts";
import { formatSizesBy } from "./prettier-bytes.ts";
import { Progress } from "./progress.ts";

type PageUppy = Uppy<Meta, FixityBody>;
type File = UppyFile<Meta, FixityBody>;

/**
 * The page itself shows failures. Uppy would also log thumbnails that were created after their file
 * had been removed.
 */
const SILENT_LOGGER = { debug: (): void => {}, warn: (): void => {}, error: (): void => {} };

interface UploaderOptions {
  readonly settings: PageSettings;
  readonly language: Language;
  /** The permit with which the page was opened. */
  readonly permit: string | null;
  /** The token with which the page was opened. */
  readonly token: string | null;
  readonly results: ResultList;
}

export function startUploader(options: UploaderOptions): void {
  const { settings, language, results } = options;
  const place = find(document, "#uploader", HTMLElement);
  const uppy: PageUppy = new Uppy<Meta, FixityBody>({
    logger: SILENT_LOGGER,
    restrictions: { maxFileSize: settings.maxSize },
    // no text of ours has plural forms
    locale: { strings: language.dashboard, pluralize: () => 0 },
    onBeforeFileAdded(file, files) {
      const reason = permit?.reasonAgainst({ name: file.name ?? "", type: file.type }) ?? null;
      if (reason !== null) throw Object.assign(new Error(reason), { isRestriction: true, isUserFacing: true, file });
      return !Object.hasOwn(files, file.id);
    },
  });
  let permit: Permit | null = null;
  addDashboard(uppy, place, { settings, language });
  const use = (text: string): void => {
    permit = new Permit(text, { settings, language });
    token.hide();
    // outsiders, for whom permits are, may use a device that they share
    results.leaveDevice();
    const { restrictions } = permit;
    uppy.setOptions({ restrictions });
    const note = limitNote(restrictions.maxFileSize, { settings, language });
    uppy.getPlugin<PageDashboard<Meta, FixityBody>>("Dashboard")?.setOptions({ note });
  };
  const usePermit = (text: string): void => {
    use(text);
    upload(uppy);
  };
  const token = new Token({
    settings,
    texts: language.texts,
    given: options.token,
    onEntered: () => upload(uppy),
    onPermit: (text) => usePermit(text),
  });
  if (options.permit !== null) use(options.permit);
  // a link with another permit, opened in this tab, does not load the page again
  window.addEventListener("hashchange", () => {
    const entered = takeToken();
    if (entered !== null) void token.enter(entered);
    const text = takePermit();
    if (text !== null) usePermit(text);
  });
  const credentials = (): Permit | Token => permit ?? token;
  uppy.use(Fixity, {
    endpoint: settings.endpoint,
    headers: () => credentials().headers,
    worker: createHashWorker,
    prepare: metadataRemoval(),
  });
  showFailures(uppy, language, ({ status, body }) =>
    credentials().refuse(status, (body as { readonly code?: unknown } | undefined)?.code),
  );
  uppy.on("files-added", () => (credentials().isMissing ? credentials().request() : upload(uppy)));
  uppy.on("upload-success", () => permit?.use());
  moveStored(uppy, { place, language, results });
  showInterrupted(uppy, language);
}

/** Moves stored files from the Dashboard to the list of results. */
function moveStored(
  uppy: PageUppy,
  { place, language, results }: Pick<UploaderOptions, "language" | "results"> & { readonly place: HTMLElement },
): void {
  const { texts } = language;
  uppy.on("upload-success", (file, { body }) => {
    if (file === undefined || body === undefined) return;
    const result = parseResult({ ...body, ...addedTo(file.size ?? body.size, body.size) }, file.name ?? "");
    if (result !== null) results.add(result, file.data instanceof Blob ? file.data : null);
  });
  uppy.on("complete", ({ successful = [] }) => {
    if (successful.length === 0) return;
    if (successful.length > 1) announce(fill(texts.uploadsDone, { count: successful.length }));
    const hadFocus = removeFromDashboard(uppy, successful, place);
    requestAnimationFrame(() => {
      if (hadFocus && document.activeElement === document.body) results.focus();
    });
  });
}

function addDashboard(
  uppy: PageUppy,
  place: HTMLElement,
  { settings, language }: Pick<UploaderOptions, "settings" | "language">,
): void {
  const { texts, direction } = language;
  const progress = (): Progress<Meta, FixityBody> | undefined => uppy.getPlugin("Progress");
  const hasTouch = matchMedia("(pointer: coarse)").matches;
  formatSizesBy((bytes) => formatSize(bytes, language));
  uppy.use(PageDashboard<Meta, FixityBody>, {
    text: (key) => {
      if (key === "uploadingXFiles") return progress()?.count ?? null;
      return key === "uploading" && progress()?.isWaiting === true ? texts.waiting : null;
    },
    target: place,
    inline: true,
    width: "100%",
    height: hasTouch ? 420 : 340,
    theme: "auto",
    note: limitNote(settings.maxSize, { settings, language }),
    direction,
    fileManagerSelectionType: hasTouch ? "files" : "both",
    showNativePhotoCameraButton: hasTouch,
    showNativeVideoCameraButton: hasTouch,
    proudlyDisplayPoweredByUppy: false,
    hideProgressAfterFinish: true,
    hideProgressDetails: true,
    // it hides messages after five seconds
    disableInformer: true,
    // uploads start automatically, or wait for a token, which a button could not provide
    hideUploadButton: true,
    // the list of links has thumbnails of its own
    waitForThumbnailsBeforeUpload: false,
  });
  uppy.use(Progress<Meta, FixityBody>, { target: PageDashboard, language });
  // the Dashboard gives its files the role "listitem", and their parent no role
  new MutationObserver(() => place.querySelector(".uppy-Dashboard-files")?.setAttribute("role", "list")).observe(
    place,
    { childList: true, subtree: true },
  );
  const dashboard = uppy.getPlugin<PageDashboard<Meta, FixityBody>>("Dashboard");
  acceptFilesAnywhere(place, (files) => dashboard?.addFiles(files));
}

/** What the Dashboard says about files before they are chosen. */
function limitNote(maxSize: number, { settings, language }: Pick<UploaderOptions, "settings" | "language">): string {
  const { texts } = language;
  const limit = fill(texts.limit, { limit: formatSize(maxSize, language) });
  return settings.revealsExisting ? `${limit} ${texts.notAgain}` : limit;
}

/** What the page adds to the result of an upload. */
function addedTo(chosenSize: number, storedSize: number): Pick<Result, "time" | "removed"> {
  return { time: Date.now(), removed: Math.max(0, chosenSize - storedSize) };
}

function upload(uppy: PageUppy): void {
  // failures are shown by `showFailures`
  uppy.upload().catch((error: unknown) => uppy.log(String(error), "warning"));
}

/**
 * Removes stored files from the Dashboard.
 *
 * @returns whether it had the focus, which may disappear with them
 */
function removeFromDashboard(uppy: PageUppy, stored: readonly File[], place: HTMLElement): boolean {
  const hadFocus = place.contains(document.activeElement);
  uppy.removeFiles(stored.map(({ id }) => id));
  return hadFocus;
}

/**
 * Accepts files that are dropped beside the Dashboard, or pasted while something else has the
 * focus.
 */
function acceptFilesAnywhere(dashboard: HTMLElement, add: (files: globalThis.File[]) => void): void {
  const isOutside = ({ target }: Event): boolean => !(target instanceof Node && dashboard.contains(target));
  const hasFiles = (transfer: DataTransfer | null): boolean => transfer?.types.includes("Files") === true;
  const root = document.documentElement;
  document.addEventListener("dragover", (event) => {
    if (!isOutside(event) || !hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    root.classList.add("dragging");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (relatedTarget === null) root.classList.remove("dragging");
  });
  // the Dashboard stops the propagation of its own drops, so only the capture phase sees them
  document.addEventListener("drop", () => root.classList.remove("dragging"), { capture: true });
  document.addEventListener("drop", (event) => {
    const { dataTransfer } = event;
    if (!isOutside(event) || dataTransfer === null || !hasFiles(dataTransfer)) return;
    event.preventDefault();
    void getDroppedFiles(dataTransfer).then(add);
  });
  document.addEventListener(
    "paste",
    (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      // the Dashboard accepts them only after it has had the focus
      event.stopImmediatePropagation();
      event.preventDefault();
      add(files);
    },
    { capture: true },
  );
}

const UNFINISHED_KEY = "unfinished";
/** Names of interrupted files that are shown. */
const MAX_NAMES = 3;

/**
 * Names the files whose upload an earlier page in this tab left unfinished. The client can resume
 * them, but a page cannot open files by itself: the user has to choose them again.
 */
function showInterrupted(uppy: PageUppy, { texts }: Language): void {
  const names = readList("tab", UNFINISHED_KEY).map(String);
  rememberUnfinished(uppy);
  window.addEventListener("beforeunload", (event) => {
    if (Object.keys(uppy.getState().currentUploads).length > 0) event.preventDefault();
  });
  if (names.length === 0) return;
  const shown = names.length > MAX_NAMES ? [...names.slice(0, MAX_NAMES), "…"] : names;
  const note = find(document, "#interrupted", HTMLElement);
  note.textContent = fill(texts.interrupted, { names: shown.join(", ") });
  note.hidden = false;
  uppy.once("files-added", () => {
    note.hidden = true;
  });
}

function rememberUnfinished(uppy: PageUppy): void {
  const names = new Map<string, string>();
  const save = (): void => write("tab", UNFINISHED_KEY, JSON.stringify([...names.values()]));
  const remove = (id: string | undefined): void => {
    if (id !== undefined && names.delete(id)) save();
  };
  uppy.on("upload-start", (files) => {
    for (const { id, name } of files) names.set(id, name ?? id);
    save();
  });
  uppy.on("upload-success", (file) => remove(file?.id));
  uppy.on("file-removed", ({ id }) => remove(id));
}

/**
 * The part of the browser's `trustedTypes` (W3C Trusted Types) that the page uses. Browsers without
 * it need none.
 */
interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { readonly createScriptURL: (url: string) => string },
  ): { createScriptURL(url: string): unknown };
}

const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypes };

/**
 * The only Trusted Types policy that the page's Content-Security-Policy allows. It passes a single
 * URL.
 */
const workerPolicy = trustedTypes?.createPolicy("fixity-worker", {
  createScriptURL(url) {
    if (url !== workerUrl) throw new TypeError("This policy is for the worker that hashes.");
    return url;
  },
});

/**
 * Creates the client's worker from a trusted URL. The page's policy refuses the plain string of the
 * client's default.
 */
function createHashWorker(): HashWorker {
  const url = workerPolicy?.createScriptURL(workerUrl) ?? workerUrl;
  return new Worker(url as string, { type: "module" });
}
