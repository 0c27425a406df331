/** What a page with Uppy does; it runs in the browser. */
import { Uppy } from "@uppy/core";
import Tus from "@uppy/tus";

/** How an upload of several files ended. */
export interface UppyOutcome {
  readonly uploads: readonly { readonly name: string; readonly url: string }[];
  readonly failed: number;
  /** Bytes that had been sent when it was paused, and some time after that; `null` where it was not. */
  readonly paused: readonly [number, number] | null;
}

interface UppyRun {
  readonly endpoint: string;
  readonly pauses: boolean;
}

/** Uploads the file that is chosen in the page's input. */
async function uppyUpload({ endpoint, pauses }: UppyRun): Promise<UppyOutcome> {
  const uppy = new Uppy().use(Tus, { endpoint, chunkSize: 256 * 1024, retryDelays: [0, 100, 200] });
  const input = document.querySelector<HTMLInputElement>("#file");
  for (const file of input?.files ?? []) uppy.addFile({ name: file.name, type: file.type, data: file });
  const pausing = pauses ? pauseAndResume(uppy) : null;
  const result = await uppy.upload();
  const uploads = (result?.successful ?? []).map(({ name, uploadURL }) => ({ name, url: uploadURL ?? "" }));
  return { uploads, failed: result?.failed?.length ?? 0, paused: await pausing };
}

async function pauseAndResume(uppy: Uppy): Promise<readonly [number, number]> {
  const sent = (): number => uppy.getFiles().reduce((sum, { progress }) => sum + Number(progress.bytesUploaded), 0);
  await new Promise<void>((resolve) => {
    uppy.on("upload-progress", (_file, { bytesUploaded }) => {
      if (bytesUploaded >= 512 * 1024) resolve();
    });
  });
  uppy.pauseAll();
  const before = sent();
  // No event shows that nothing is sent: this time would suffice for megabytes.
  await new Promise((resolve) => {
    setTimeout(resolve, 500);
  });
  const after = sent();
  uppy.resumeAll();
  return [before, after];
}

declare global {
  interface Window {
    uppyUpload: (run: UppyRun) => Promise<UppyOutcome>;
  }
}

window.uppyUpload = uppyUpload;
