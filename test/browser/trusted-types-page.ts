/** A page whose policy requires Trusted Types; it runs in the browser. The options are those of docs/client.md. */
import { type ClientOptions, createClient, type HashWorker } from "../../src/client.ts";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { readonly createScriptURL: (url: string) => string },
  ): { createScriptURL(url: string): unknown };
}

declare const trustedTypes: TrustedTypes | undefined;

const workerUrl = "/client/hash-worker.js";

const policy = trustedTypes?.createPolicy("fixity-worker", {
  createScriptURL(url) {
    if (url !== workerUrl) throw new TypeError(`${url} is not the worker.`);
    return url;
  },
});

function createHashWorker(): HashWorker {
  return new Worker((policy?.createScriptURL(workerUrl) ?? workerUrl) as string, { type: "module" });
}

/** Uploads and downloads bytes. Resolves with the text that came back, or with the code of the error. */
async function roundTrip(endpoint: string, withWorker: boolean): Promise<string> {
  const options: ClientOptions = { endpoint, ...(withWorker && { worker: createHashWorker }) };
  const client = createClient(options);
  try {
    const { url } = await client.upload(new Blob(["verified ".repeat(200_000)]));
    const { stream } = await client.download(url);
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return await new Blob(chunks).slice(0, 8).text();
  } catch (error) {
    return (error as { readonly code: string }).code;
  } finally {
    client.close();
  }
}

declare global {
  interface Window {
    roundTrip: typeof roundTrip;
  }
}

window.roundTrip = roundTrip;
