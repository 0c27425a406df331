import { endingOf } from "../format.ts";
import { make } from "../find.ts";

/** What every browser shows, and in which nothing can run. */
const PICTURES: ReadonlySet<string> = new Set(["image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"]);
/** Bytes of a picture that is worth decoding for a few pixels. */
const LARGEST = 20 * 1024 * 1024;
/** Pixels of a side: twice those of the place, for fine screens. */
const SIDE = 112;

/** A small picture of a file, or what its name ends in. */
export function thumb(name: string, file: Blob | null): HTMLElement {
  const place = make("span", { className: "thumb", textContent: endingOf(name) || "FILE", ariaHidden: "true" });
  if (file !== null && PICTURES.has(file.type) && file.size <= LARGEST) void draw(file, place);
  return place;
}

async function draw(file: Blob, place: HTMLElement): Promise<void> {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = SIDE / Math.min(bitmap.width, bitmap.height);
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d")?.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
    bitmap.close();
    place.replaceChildren(canvas);
  } catch {
    // it only claims to be a picture: what its name ends in stays
  }
}
