/** A page that shows images before and after their metadata is removed; it runs in the browser. */
import { stripMetadata } from "../../src/client/strip-metadata.ts";

/** What a browser shows of an image. */
interface Shown {
  readonly width: number;
  readonly height: number;
  /** The SHA-256 of the pixels of all frames. */
  readonly pixels: string;
  readonly frames: number;
}

async function digestOf(parts: readonly Uint8ClampedArray<ArrayBuffer>[]): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await new Blob([...parts]).arrayBuffer());
  return new Uint8Array(digest).join();
}

function pixelsOf(image: CanvasImageSource, width: number, height: number): Uint8ClampedArray<ArrayBuffer> {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (context === null) throw new Error("no canvas");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

/** The image as an element shows it, turned by its orientation, and each frame of an animation. */
async function show(file: Blob): Promise<Shown> {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const pixels = [pixelsOf(image, width, height)];
  const decoder = new ImageDecoder({ data: file.stream(), type: file.type });
  await decoder.completed;
  const frames = decoder.tracks.selectedTrack?.frameCount ?? 0;
  for (let frameIndex = 0; frameIndex < frames; frameIndex += 1) {
    const { image: frame } = await decoder.decode({ frameIndex });
    pixels.push(pixelsOf(frame, frame.displayWidth, frame.displayHeight));
    frame.close();
  }
  return { width, height, frames, pixels: await digestOf(pixels) };
}

/** The chosen images, before and after. */
async function compare(): Promise<{ readonly name: string; readonly before: Shown; readonly after: Shown }[]> {
  const files = [...(document.querySelector<HTMLInputElement>("#file")?.files ?? [])];
  return Promise.all(
    files.map(async (file) => ({
      name: file.name,
      before: await show(file),
      after: await show(await stripMetadata(file)),
    })),
  );
}

declare global {
  interface Window {
    compare: typeof compare;
  }
}

window.compare = compare;
