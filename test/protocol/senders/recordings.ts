/** The recorded requests of `test/fixtures/senders`, and the name and link that fixity gives the file of each. */
import { readdir, readFile } from "node:fs/promises";

const FOLDER = new URL("../../fixtures/senders/", import.meta.url);

/** What the senders call the file, unless {@link OTHER_NAMES} has another name. */
export const ODD_NAME = '写 "1".png';

/** Other names: the sender was given one, has none, or encodes it. */
const OTHER_NAMES: Readonly<Record<string, string | null>> = {
  "aiohttp-body": "photo.png",
  "aiohttp-dict": "photo.png",
  // aiohttp percent-encodes names by default; decoding them would change the names of all other senders
  "aiohttp-formdata": '%E5%86%99%20"1".png',
  "axios-buffer": "a b.png",
  "axios-stream": "a.png",
  "curl-data-binary": "photo.png",
  "curl-t": "photo.png",
  "curl-t-stdin": "photo.png",
  "fetch-blob": "photo.png",
  "fetch-blob-in-form": "blob",
  "form-data-4.0.6-stream": "photo.png",
  "got-stream": "photo.png",
  "httpie-body": "photo.png",
  "httpx-content": "photo.png",
  "java-httpclient-post": "photo.png",
  "java-httpclient-put": "photo.png",
  "java-httpclient-stream": "photo.png",
  "java-urlconnection": "photo.png",
  "node-fetch-blob-nameless": null,
  "requests-data-open": "photo.png",
  "requests-files-bytes": "upload",
  "requests-files-open": "photo.png",
  "requests-generator": null,
  "requests-json-and-file": "photo.png",
  "requests-put": "photo.png",
  "superagent-attach-path": "photo.png",
  tinymce: "blobid0.png",
  "undici-request-stream": "photo.png",
  "urllib-put": "photo.png",
  "wget-post-file": "photo.png",
  "wget-put": "photo.png",
};

/** Senders that state neither a name with an extension nor a type. */
const WITHOUT_EXTENSION: ReadonlySet<string> = new Set(["requests-files-bytes"]);

/** The labels of all recordings. */
export const LABELS: readonly string[] = (await readdir(FOLDER))
  .filter((name) => name.endsWith(".http"))
  .map((name) => name.slice(0, -".http".length));

for (const label of [...Object.keys(OTHER_NAMES), ...WITHOUT_EXTENSION]) {
  if (!LABELS.includes(label)) throw new Error(`There is no recording ${label}.http.`);
}

/** The file that all recordings send. */
export const PHOTO: Buffer = await readFile(new URL("photo.png", FOLDER));

/** A request as it was on the wire. */
export function recorded(label: string): Promise<Buffer> {
  return readFile(new URL(`${label}.http`, FOLDER));
}

/** The name that the receipt must have for the file of this sender. */
export function nameFrom(label: string): string | null {
  return label in OTHER_NAMES ? (OTHER_NAMES[label] ?? null) : ODD_NAME;
}

/** The link that the file of this sender must get. */
export function linkFrom(label: string, hex: string): string {
  return `/uploads/${hex}${WITHOUT_EXTENSION.has(label) ? "" : ".png"}`;
}
