/** What a page with the plugin does; it runs in the browser. */
import { Uppy, type UppyFile } from "@uppy/core";
import GoldenRetriever from "@uppy/golden-retriever";
import Fixity, { type FixityBody } from "../../src/uppy.ts";

type Meta = Record<string, unknown>;

/** What Uppy has said of a failure. */
export interface FileFailure {
  readonly message: string;
  readonly code: unknown;
  readonly status: number | null;
  readonly isNetworkError: unknown;
}

/** What Uppy has said of one file. */
export interface FileStory {
  readonly name: string;
  /** Of progress, in its order. */
  readonly bytes: number[];
  /** Why it waited for its next attempt; `null` when a wait was over. */
  readonly waits: (string | null)[];
  /** Of the hashing before anything is sent: shares, in their order. */
  readonly hashed: number[];
  url: string | null;
  body: FixityBody | null;
  error: FileFailure | null;
}

/** Options of a page's Uppy. */
export interface PluginPageOptions {
  readonly endpoint: string;
  readonly retry?: { readonly attempts?: number; readonly minDelay?: number };
  /** Whether files are uploaded without their first byte, under another name and type. */
  readonly prepares?: boolean;
  /** Whether files outlive the page. */
  readonly restores?: boolean;
  /**
   * Bytes of the largest file whose content outlives the page.
   *
   * @default 64 MiB
   */
  readonly keeps?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const stories = new Map<string, FileStory>();

function storyOf(file: UppyFile<Meta, FixityBody> | undefined): FileStory {
  const { id = "", name = "" } = file ?? {};
  const story = stories.get(id) ?? { name, bytes: [], waits: [], hashed: [], url: null, body: null, error: null };
  stories.set(id, story);
  return story;
}

/** The key in `sessionStorage` that a page with Golden Retriever sets. */
const OPENED_KEY = "opened";

/** Creates the page's Uppy. If it `restores`, it has the files that an earlier page left. */
async function open({
  restores = false,
  prepares = false,
  keeps = 64 * 1024 ** 2,
  ...options
}: PluginPageOptions): Promise<void> {
  const uppy = new Uppy<Meta, FixityBody>().use(Fixity, {
    ...options,
    prepare: prepares ? (file) => new File([file.slice(1)], "prepared.png", { type: "image/png" }) : null,
  });
  uppy.on("upload-progress", (file, { bytesUploaded }) => storyOf(file).bytes.push(bytesUploaded));
  uppy.on("preprocess-progress", (file, { value = 0 }) => storyOf(file).hashed.push(value));
  uppy.on("fixity-waiting", (file, wait) => storyOf(file).waits.push(wait?.reason ?? null));
  uppy.on("upload-success", (file, { uploadURL = null, body = null }) => {
    Object.assign(storyOf(file), { url: uploadURL, body });
  });
  uppy.on("upload-error", (file, error, response) => {
    const { message, isNetworkError } = error as Error & { readonly isNetworkError?: unknown };
    const { status = null, body } = response ?? {};
    storyOf(file).error = {
      message,
      code: (body as { readonly code?: unknown } | undefined)?.code,
      status,
      isNetworkError,
    };
  });
  window.uppy = uppy;
  if (!restores) return;
  const restored = new Promise<void>((resolve) => {
    uppy.on("restored", () => resolve());
  });
  // its types lack the limit, which is 10 MB by default
  const indexedDB = { maxFileSize: keeps } as object;
  uppy.use(GoldenRetriever, { indexedDB });
  // there is an event only if an earlier page in this tab has stored anything
  const isReloaded = sessionStorage.getItem(OPENED_KEY) !== null;
  sessionStorage.setItem(OPENED_KEY, "yes");
  if (isReloaded) await restored;
}

/** Adds the files chosen in the page's input. */
function add(): void {
  const input = document.querySelector<HTMLInputElement>("#file");
  for (const file of input?.files ?? []) window.uppy.addFile({ name: file.name, type: file.type, data: file });
}

/** Uploads all added files, and returns their stories. */
async function upload(): Promise<readonly FileStory[]> {
  await window.uppy.upload();
  return [...stories.values()];
}

/** Takes the plugin away from Uppy. */
function takeAway(): void {
  const plugin = window.uppy.getPlugin("Fixity");
  if (plugin !== undefined) window.uppy.removePlugin(plugin);
}

/** Gives Uppy the plugin that was taken away. */
function useAgain({ endpoint }: PluginPageOptions): void {
  window.uppy.use(Fixity, { endpoint });
}

declare global {
  interface Window {
    uppy: Uppy<Meta, FixityBody>;
    plugin: {
      readonly open: typeof open;
      readonly add: typeof add;
      readonly upload: typeof upload;
      readonly takeAway: typeof takeAway;
      readonly useAgain: typeof useAgain;
      readonly stories: () => readonly FileStory[];
    };
  }
}

window.plugin = { open, add, upload, takeAway, useAgain, stories: () => [...stories.values()] };
