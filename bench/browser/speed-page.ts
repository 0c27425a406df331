/** The script of the benchmark's page. It runs in the browser. */
import { Uppy } from "@uppy/core";
import XHRUpload from "@uppy/xhr-upload";
import { createClient } from "../../src/client.ts";
import type { PageRun, PageSpeed } from "./upload-page.ts";

/** Uploads the file that was chosen in the page's input. */
async function speedOf({ endpoint, sender }: PageRun): Promise<PageSpeed> {
  const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
  if (file === undefined) throw new Error("no file was chosen");
  let longest = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  });
  observer.observe({ type: "longtask" });
  const began = performance.now();
  const sent = sender === "uppy" ? await byUppy(endpoint, file) : await byClient(endpoint, file);
  const seconds = (performance.now() - began) / 1000;
  observer.disconnect();
  return { seconds, longest, sent };
}

async function byClient(endpoint: string, file: File): Promise<number> {
  const client = createClient({ endpoint, storage: null });
  const { sent } = await client.upload(file, { onProgress: () => null });
  client.close();
  return sent;
}

async function byUppy(endpoint: string, file: File): Promise<number> {
  const uppy = new Uppy().use(XHRUpload, { endpoint, fieldName: "upload", timeout: 0 });
  uppy.addFile({ name: file.name, type: file.type, data: file });
  const result = await uppy.upload();
  if (result?.successful?.length !== 1) throw new Error("Uppy has failed");
  uppy.destroy();
  return file.size;
}

Object.assign(globalThis, { speedOf });
