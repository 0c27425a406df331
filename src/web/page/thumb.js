import { extensionOf } from "./format.js";

/** What every browser shows, and in which nothing can run. */
const PICTURES = new Set(["image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"]);
/** Bytes of a picture that is worth decoding for a few pixels. */
const LARGEST = 20 * 1024 * 1024;

/** Shows a small picture of a file, or its extension. @param {HTMLElement} place @param {File} file */
export function showThumb(place, file) {
  place.textContent = extensionOf(file.name) || "FILE";
  if (!PICTURES.has(file.type) || file.size > LARGEST) return;
  const image = new Image();
  image.alt = "";
  // a folder of photos is decoded as far as it is looked at
  image.loading = "lazy";
  image.decoding = "async";
  const url = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(url));
  image.addEventListener("error", () => {
    image.remove();
    URL.revokeObjectURL(url);
  });
  image.src = url;
  place.append(image);
}
