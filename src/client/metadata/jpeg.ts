/**
 * JPEG (ITU-T T.81, annex B): segments with a marker and a length, and after each start of scan
 * entropy-coded data until the next marker. Metadata may stand between scans, and whole images
 * after the end (CIPA DC-007, motion photos), so the scans are read, too.
 */
import { formatOrientation, type Orientation, readOrientation } from "./exif.ts";
import { damaged, type FilePart, type FileReader, latin1, PartList, viewOf } from "./file-reader.ts";

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const COM = 0xfe;
const APP0 = 0xe0;
const APP1 = 0xe1;
const APP2 = 0xe2;
const APP14 = 0xee;

/** Tables and parameters without which the scans cannot be decoded. */
const CODING_MARKERS: ReadonlySet<number> = new Set([
  0xc4, // DHT
  0xcc, // DAC
  0xdb, // DQT
  0xdc, // DNL
  0xdd, // DRI
  0xde, // DHP
  0xdf, // EXP
]);

/** Bytes of a marker and its length. */
const SEGMENT_HEADER_BYTES = 4;
/** The length of a JFIF segment without a thumbnail (JFIF 1.02), and of Adobe's (TN 5116). */
const JFIF_BYTES = 16;
const ADOBE_BYTES = 14;

const EXIF_NAME = "Exif\0\0";
const ICC_NAME = "ICC_PROFILE\0";

interface Segment {
  readonly marker: number;
  /** The offset of the marker's last fill byte. */
  readonly start: number;
  readonly end: number;
}

/** Keeps tables, scans, JFIF without its thumbnail, Adobe's colour transform and the ICC profile. */
export async function rewriteJpeg(reader: FileReader): Promise<FilePart[]> {
  const body = new PartList(reader);
  let jfif: Uint8Array<ArrayBuffer> | null = null;
  let orientation: Orientation | null = null;
  let hasFrame = false;
  let hasScan = false;
  let at = 2;
  for (;;) {
    const { marker, start, end } = await readSegment(reader, at);
    at = end;
    if (marker === EOI) break;
    if (isFrame(marker) || CODING_MARKERS.has(marker)) {
      hasFrame ||= isFrame(marker);
      body.keep(start, end);
    } else if (marker === SOS) {
      hasScan = true;
      at = await endOfScan(reader, end);
      body.keep(start, at);
    } else if (marker === APP0) {
      if (!hasScan) jfif ??= await jfifWithoutThumbnail(reader, start, end);
    } else if (marker === APP1) {
      // viewers read the first EXIF
      if (!hasScan && orientation === null && (await hasName(reader, { start, end }, EXIF_NAME))) {
        orientation = await readOrientation(reader, start + SEGMENT_HEADER_BYTES + EXIF_NAME.length, end);
      }
    } else if (marker === APP2) {
      if (await hasName(reader, { start, end }, ICC_NAME)) body.keep(start, end);
    } else if (marker === APP14) {
      const adobe = await hasName(reader, { start, end }, "Adobe");
      if (adobe && end - start >= ADOBE_BYTES + 2) body.add(await shortened(reader, start, ADOBE_BYTES));
    } else if (marker !== COM && (marker < APP0 || marker > 0xef)) {
      throw damaged(`it has the unknown marker 0x${marker.toString(16)}`);
    }
  }
  if (!hasFrame || !hasScan) throw damaged("it has no image");
  const exif = orientation === null || orientation === 1 ? [] : [exifSegment(orientation)];
  return [latin1("\xff\xd8"), ...(jfif === null ? [] : [jfif]), ...exif, ...body.end(), latin1("\xff\xd9")];
}

/** Whether a marker begins a frame (SOF0 to SOF15): DHT, JPG and DAC stand between these. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Reads the header of the segment at an offset, and checks that the segment ends within the file. */
async function readSegment(reader: FileReader, at: number): Promise<Segment> {
  reader.countSegment();
  if ((await reader.read(at, 1))[0] !== 0xff) throw damaged("a segment does not begin with a marker");
  const start = (await endOfFill(reader, at)) - 1;
  const [, marker = 0] = await reader.read(start, 2);
  if (marker === EOI) return { marker, start, end: start + 2 };
  if (marker === 0 || marker === SOI || marker === 0x01 || isRestart(marker)) {
    throw damaged(`the marker 0x${marker.toString(16)} stands in a wrong place`);
  }
  const length = viewOf(await reader.read(start + 2, 2)).getUint16(0);
  const end = start + 2 + length;
  if (length < 2) throw damaged("a segment is shorter than its header");
  if (end > reader.size) throw damaged("it is cut off");
  return { marker, start, end };
}

function isRestart(marker: number): boolean {
  return marker >= 0xd0 && marker <= 0xd7;
}

/** Any number of fill bytes may precede a marker. Returns the offset of the first other byte. */
async function endOfFill(reader: FileReader, from: number): Promise<number> {
  for (let at = from; ;) {
    const bytes = await reader.readSome(at);
    const index = bytes.findIndex((byte) => byte !== 0xff);
    if (index !== -1) return at + index;
    at += bytes.length;
  }
}

/** The offset of the first marker that ends the entropy-coded data at an offset. */
async function endOfScan(reader: FileReader, from: number): Promise<number> {
  for (let at = from; ;) {
    const bytes = await reader.readSome(at);
    let index = bytes.indexOf(0xff);
    while (index !== -1 && index < bytes.length - 1) {
      const next = bytes[index + 1] ?? 0;
      // a zero byte is stuffed after data of 0xff (T.81, F.1.2.3)
      if (next !== 0 && !isRestart(next)) return at + index;
      index = bytes.indexOf(0xff, index + 2);
    }
    at += index === -1 ? bytes.length : index;
    if (index !== -1) await reader.read(at, 2);
  }
}

async function hasName(reader: FileReader, { start, end }: Omit<Segment, "marker">, name: string): Promise<boolean> {
  if (end - start < SEGMENT_HEADER_BYTES + name.length) return false;
  return String.fromCharCode(...(await reader.read(start + SEGMENT_HEADER_BYTES, name.length))) === name;
}

async function jfifWithoutThumbnail(
  reader: FileReader,
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  if (end - start < JFIF_BYTES + 2 || !(await hasName(reader, { start, end }, "JFIF\0"))) return null;
  const segment = await shortened(reader, start, JFIF_BYTES);
  segment.fill(0, JFIF_BYTES); // its width and height
  return segment;
}

/** The beginning of a segment, as a segment of its own with this length. */
async function shortened(reader: FileReader, start: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const segment = (await reader.read(start, length + 2)).slice();
  viewOf(segment).setUint16(2, length);
  return segment;
}

function exifSegment(orientation: Orientation): Uint8Array<ArrayBuffer> {
  const exif = formatOrientation(orientation);
  const length = 2 + EXIF_NAME.length + exif.length;
  return latin1(`\xff\xe1\0${String.fromCharCode(length)}${EXIF_NAME}${String.fromCharCode(...exif)}`);
}
