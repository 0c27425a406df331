import { encode } from "uqr";

const SVG = "http://www.w3.org/2000/svg";
/** Modules around the code, without which cameras do not find it (ISO/IEC 18004). */
const QUIET = 4;

/** A QR code as a picture in the page itself: no image is loaded, so no policy has to allow it. */
export function qrCode(text: string, label: string): SVGSVGElement {
  const { data, size } = encode(text, { ecc: "M", border: QUIET });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("shape-rendering", "crispEdges");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", data.map((row, y) => rowOf(row, y)).join(""));
  svg.append(path);
  return svg;
}

/** The dark modules of a row, as rectangles. */
function rowOf(row: readonly boolean[], y: number): string {
  return row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")).join("");
}
