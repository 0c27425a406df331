/** What a page with the plugin does; it runs in the browser. */
import { Uppy, type UppyFile } from "@uppy/core";
import GoldenRetriever from "@uppy/golden-retriever";
import Fixity, { type FixityBody } from "../../src/uppy.ts";

type Meta = Record<string, unknown>;

/** What Uppy has said of one file. */
export interface FileStory {
  readonly name: string;
  /** Of progress, in its order. */
  readonly bytes: number[];
  url: string | null;
  body: FixityBody | null;
  error: { readonly message: string; readonly code: unknown; readonly status: number | null } | null;
}

/** How a page's Uppy is made. */
export interface PluginPageOptions {
  readonly endpoint: string;
  readonly retry?: { readonly attempts?: number; readonly minDelay?: number };
  /** Whether files outlive the page. */
  readonly restores?: boolean;
}

const stories = new Map<string, FileStory>();

function storyOf(file: UppyFile<Meta, FixityBody> | undefined): FileStory {
  const { id = "", name = "" } = file ?? {};
  const story = stories.get(id) ?? { name, bytes: [], url: null, body: null, error: null };
  stories.set(id, story);
  return story;
}

/** Makes the page's Uppy, with the files that an earlier page has left. */
async function open({ restores = false, ...options }: PluginPageOptions): Promise<void> {
  const uppy = new Uppy<Meta, FixityBody>().use(Fixity, options);
  uppy.on("upload-progress", (file, { bytesUploaded }) => storyOf(file).bytes.push(bytesUploaded));
  uppy.on("upload-success", (file, { uploadURL = null, body = null }) => {
    Object.assign(storyOf(file), { url: uploadURL, body });
  });
  uppy.on("upload-error", (file, { message }, response) => {
    storyOf(file).error = { message, code: response?.body?.["code"], status: response?.status ?? null };
  });
  window.uppy = uppy;
  if (!restores) return;
  const restored = new Promise<void>((resolve) => {
    uppy.on("restored", () => resolve());
    setTimeout(resolve, 1000);
  });
  // its declarations know nothing of the limit, which is 10 MB where nothing is said
  const indexedDB = { maxFileSize: 64 * 1024 ** 2 } as object;
  uppy.use(GoldenRetriever, { indexedDB });
  await restored;
}

/** Adds what was chosen in the page's input. */
function add(): void {
  const input = document.querySelector<HTMLInputElement>("#file");
  for (const file of input?.files ?? []) window.uppy.addFile({ name: file.name, type: file.type, data: file });
}

/** Uploads what was added; how it went. */
async function upload(): Promise<readonly FileStory[]> {
  await window.uppy.upload();
  return [...stories.values()];
}

declare global {
  interface Window {
    uppy: Uppy<Meta, FixityBody>;
    plugin: {
      readonly open: typeof open;
      readonly add: typeof add;
      readonly upload: typeof upload;
      readonly stories: () => readonly FileStory[];
    };
  }
}

window.plugin = { open, add, upload, stories: () => [...stories.values()] };
