/**
 * What the upload page, the client and the page of a link do in Chromium, Firefox and WebKit: upload, resume after a reload,
 * recognize what is stored, and seek in a video. In Chromium alone, with many more cases: page-*.test.ts, client.test.ts.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { type Rates, SlowProxy } from "../helpers/slow-proxy.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { openClientSite } from "./client-site.ts";
import type { PageOutcome } from "./client-page.ts";
import { type Engine, ENGINES, needingEngine, startEngine } from "./engines.ts";

const MIB = 1024 ** 2;
/** More than what the buffers of sockets and proxies hold. */
const SIZE = 24 * MIB;

/** The content that {@link choose} makes. */
const CONTENT = Buffer.alloc(SIZE, Buffer.from(Uint8Array.from({ length: 251 }, (_, index) => index)));

interface Choice {
  readonly name: string;
  readonly size: number;
  readonly selector: string;
}

const IN_PAGE: Choice = { name: "large.bin", size: SIZE, selector: "input[name='files[]']" };

/** Chooses a file in an input as soon as the page has one. Runs in the browser. */
async function choose({ name, size, selector }: Choice): Promise<void> {
  const bytes = Uint8Array.from({ length: size }, (_, index) => index % 251);
  const chosen = new DataTransfer();
  chosen.items.add(new File([bytes], name, { lastModified: 1 }));
  let input: HTMLInputElement | null = null;
  while ((input = document.querySelector<HTMLInputElement>(selector)) === null) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** The first row of the list: its link and its state. Runs in the browser; `null` while there is none. */
function firstResult(): { readonly url: string; readonly isExisting: boolean } | null {
  const row = document.querySelector(".file");
  const url = row?.querySelector<HTMLAnchorElement>(".link")?.href;
  return url === undefined ? null : { url, isExisting: row?.querySelector(".state.existed") !== null };
}

/** Resolves when an expression of the page has a value. */
async function valueOf<Value>(engine: Engine, read: () => Value | null): Promise<Value> {
  let value: Value | null = null;
  await until(async () => (value = await engine.evaluate(read, null)) !== null);
  return value as Value;
}

/** Bytes of content that uploads have sent since. */
function contentOf(requests: SlowProxy["requests"]): number {
  return requests
    .filter(({ method }) => method !== "GET" && method !== "HEAD")
    .reduce((sum, { received }) => sum + received, 0);
}

/** Stores a file. @returns its absolute URL */
async function store({ url }: SlowProxy, filename: string, body: Buffer<ArrayBuffer>): Promise<string> {
  const headers = { accept: "text/plain" };
  const stored = await fetch(`${url}/uploads?filename=${filename}`, { method: "POST", body, headers });
  return new URL((await stored.text()).trim(), url).href;
}

/** A sound of so many seconds of silence: 48 kHz, 16 bits, stereo. */
function waveFile(seconds: number): Buffer<ArrayBuffer> {
  const bytesPerSecond = 48_000 * 4;
  const size = seconds * bytesPerSecond;
  const head = Buffer.from("RIFF____WAVEfmt ________________________data____", "latin1");
  head.writeUInt32LE(36 + size, 4);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(2, 22);
  head.writeUInt32LE(48_000, 24);
  head.writeUInt32LE(bytesPerSecond, 28);
  head.writeUInt16LE(4, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(size, 40);
  return Buffer.concat([head.subarray(0, 44), Buffer.alloc(size)]);
}

interface Seeked {
  readonly time: number;
  readonly width: number;
  readonly duration: number;
}

/** Moves the page's player. Runs in the browser. */
async function seek({ tag, seconds }: { tag: "audio" | "video"; seconds: number }): Promise<Seeked> {
  const player = document.querySelector<HTMLMediaElement>(tag);
  if (player === null) throw new Error(`the page has no ${tag}`);
  const happens = (event: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      player.addEventListener(event, resolve, { once: true });
      player.addEventListener("error", () => reject(new Error(player.error?.message)), { once: true });
    });
  if (player.readyState < 1) await happens("loadedmetadata");
  const seeked = happens("seeked");
  player.currentTime = seconds;
  await seeked;
  const width = player instanceof HTMLVideoElement ? player.videoWidth : 0;
  return { time: player.currentTime, width, duration: Math.round(player.duration) };
}

async function startPlace(rates: Rates = {}): Promise<AsyncDisposable & { readonly proxy: SlowProxy }> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await StoreFolder.make());
  const env = { UPLOAD_DURABILITY: "none", UPLOAD_CORS_ORIGINS: "*" };
  const server = stack.use(await ServerProcess.start({ dir: folder.path, env }));
  const proxy = stack.use(await SlowProxy.start(server.url, rates));
  const moved = stack.move();
  return { proxy, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

for (const name of ENGINES) {
  void describe(name, needingEngine(name), () => {
    test("the page resumes an upload after a reload, and recognizes a stored file", async () => {
      await using place = await startPlace({ upload: 8 * MIB });
      const { proxy } = place;
      await using engine = await startEngine(name);
      await engine.goto(proxy.url);
      await engine.evaluate(choose, IN_PAGE);
      await until(async () => contentOf(proxy.requests) > 6 * MIB);
      // the rest shall not arrive while the page is loaded again
      proxy.limit({ upload: 16 * 1024 });
      // a page that asks before it is left would wait for an answer
      await engine.evaluate(
        () => window.addEventListener("beforeunload", (e) => e.stopImmediatePropagation(), true),
        null,
      );
      await engine.goto(proxy.url);
      proxy.limit({});
      await valueOf(
        engine,
        () => document.querySelector<HTMLElement>("#interrupted")?.innerText.match(/large\.bin/) ?? null,
      );
      const before = proxy.requests.length;
      await engine.evaluate(choose, IN_PAGE);
      const stored = await valueOf(engine, firstResult);
      assert.deepEqual(stored, { url: `${proxy.url}/uploads/${sha256(CONTENT)}.bin`, isExisting: false });
      const sent = contentOf(proxy.requests.slice(before));
      assert.ok(sent > 0 && sent < SIZE - MIB, `${sent} bytes were sent after the reload`);
      const after = proxy.requests.length;
      await engine.evaluate(() => document.querySelector<HTMLElement>("#clear")?.click(), null);
      await valueOf(engine, () => (document.querySelector(".file") === null ? true : null));
      // slow enough that the digest is known before all bytes are sent
      proxy.limit({ upload: 2 * MIB });
      await engine.evaluate(choose, { ...IN_PAGE, name: "again.bin" });
      assert.deepEqual(await valueOf(engine, firstResult), { url: stored.url, isExisting: true });
      const sentAgain = contentOf(proxy.requests.slice(after));
      assert.ok(sentAgain < SIZE, `${sentAgain} bytes were sent again`);
    });

    test("the client uploads in a page of another origin, and recognizes a stored file", async () => {
      await using place = await startPlace();
      await using site = await openClientSite();
      await using engine = await startEngine(name);
      await engine.goto(`http://127.0.0.1:${site.port}/`);
      await engine.evaluate(choose, { name: "a.bin", size: SIZE, selector: "#file" });
      const options = { endpoint: `${place.proxy.url}/uploads` };
      const uploaded: PageOutcome[] = [];
      for (const upload of [Infinity, MIB]) {
        // a slow network leaves time to hash
        place.proxy.limit({ upload });
        uploaded.push(await engine.evaluate((options) => window.upload(options), options));
      }
      assert.deepEqual(
        uploaded.map(({ digest, existed }) => ({ digest, existed })),
        [false, true].map((existed) => ({ digest: `sha256:${sha256(CONTENT)}`, existed })),
      );
      assert.ok((uploaded[1]?.sent ?? SIZE) < SIZE, `${uploaded[1]?.sent} bytes were sent again`);
    });

    test("the page of a video plays it, and seeks", async () => {
      await using place = await startPlace();
      await using engine = await startEngine(name);
      const video = Buffer.from(await readFile(new URL("../fixtures/seek.webm", import.meta.url)));
      await engine.goto(`${await store(place.proxy, "seek.webm", video)}?view`);
      const seeked = await engine.evaluate(seek, { tag: "video", seconds: 15 } as const);
      assert.deepEqual(seeked, { time: 15, width: 160, duration: 20 });
    });

    test("the page of a long sound seeks by a range of what has not arrived", async () => {
      await using place = await startPlace();
      const { proxy } = place;
      await using engine = await startEngine(name);
      const sound = waveFile(120);
      const url = await store(proxy, "long.wav", sound);
      proxy.limit({ download: MIB });
      await engine.goto(`${url}?view`);
      const before = proxy.requests.length;
      const seeked = await engine.evaluate(seek, { tag: "audio", seconds: 110 } as const);
      assert.deepEqual(seeked, { time: 110, width: 0, duration: 120 });
      const starts = proxy.requests
        .slice(before)
        .map(({ headers }) => Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1]));
      assert.ok(
        starts.some((start) => start > sound.length / 2),
        `ranges after the page was loaded: ${starts.join()}`,
      );
    });
  });
}
