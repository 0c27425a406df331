/** The script of a page with the client; it runs in the browser. */
import { type ClientOptions, createClient, FixityClientError, type UploadOptions } from "../../src/client.ts";

/** How an upload in the page ended. */
export interface PageOutcome {
  readonly url: string;
  readonly digest: string;
  readonly existed: boolean;
  readonly sent: number;
  /** The phases of progress in their order, without repetitions. */
  readonly phases: readonly string[];
  /** The bytes of the first progress. */
  readonly from: number;
  /** Milliseconds of the page's longest task. */
  readonly longest: number;
}

/** A downloaded file, or the code of the error. */
export interface PageDownload {
  readonly text: string;
  readonly code: string | null;
}

export type PageOptions = Pick<ClientOptions, "endpoint" | "retry" | "headers">;

/** Uploads the file that is chosen in the page's input. */
async function upload(options: PageOptions, told: Pick<UploadOptions, "declare"> = {}): Promise<PageOutcome> {
  const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
  if (file === undefined) throw new Error("no file was chosen");
  const phases: string[] = [];
  let from: number | null = null;
  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  });
  observer.observe({ type: "longtask" });
  const client = createClient(options);
  const { url, digest, existed, sent } = await client.upload(file, {
    ...told,
    onProgress: ({ phase, bytes, wait }) => {
      from ??= bytes;
      if (wait !== null) window.waits.push(`${wait.reason} until ${wait.until}`);
      if (phases.at(-1) !== phase) phases.push(phase);
    },
  });
  client.close();
  return { url, digest, existed, sent, phases, from: from ?? 0, longest };
}

/** Cancels the upload of the chosen file once some of it was sent. Returns the code of the error. */
async function cancelled(options: PageOptions): Promise<string> {
  const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
  if (file === undefined) throw new Error("no file was chosen");
  const client = createClient(options);
  const upload = client.start(file, {
    onProgress: ({ bytes, total }) => bytes > 0 && bytes !== total && upload.abort(),
  });
  const error: unknown = await upload.done.catch((error: unknown) => error);
  client.close();
  return error instanceof FixityClientError ? error.code : String(error);
}

/** The code of the error with which the upload of the chosen file ends. */
async function failure(options: PageOptions, told: Pick<UploadOptions, "declare">): Promise<string> {
  try {
    await upload(options, told);
    return "";
  } catch (error) {
    return error instanceof FixityClientError ? error.code : String(error);
  }
}

async function download(options: PageOptions, link: string): Promise<PageDownload> {
  const client = createClient(options);
  try {
    const { stream } = await client.download(link);
    // WebKit has no `for await` over streams, and `new Response(stream).text()` replaces the stream's error by its own.
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += decoder.decode(read.value, { stream: true });
    }
    return { text: text + decoder.decode(), code: null };
  } catch (error) {
    return { text: "", code: error instanceof FixityClientError ? error.code : String(error) };
  } finally {
    client.close();
  }
}

declare global {
  interface Window {
    /** Why and until when the uploads of the page have waited. */
    waits: string[];
    upload: typeof upload;
    cancelled: typeof cancelled;
    download: typeof download;
    failure: typeof failure;
  }
}

window.waits = [];
window.upload = upload;
window.cancelled = cancelled;
window.download = download;
window.failure = failure;
