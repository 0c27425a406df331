/** EXIF (CIPA DC-008), of which only the orientation is read and written. */
import { type FileReader, fourCharacters, latin1, viewOf } from "./file-reader.ts";

/** The tag of the orientation in the first directory, and the type of its value. */
const ORIENTATION_TAG = 0x0112;
const TYPE_SHORT = 3;

const HEADER_BYTES = 8;
const ENTRY_BYTES = 12;

/** How an image is to be turned and mirrored: 1 to 8, of which 1 changes nothing. */
export type Orientation = number;

/**
 * The orientation in the EXIF at a range of the file, without the `Exif\0\0` of JPEG before it; 1
 * if it states none or cannot be parsed, as viewers have it.
 */
export async function readOrientation(reader: FileReader, start: number, end: number): Promise<Orientation> {
  if (end - start < HEADER_BYTES) return 1;
  const header = await reader.read(start, HEADER_BYTES);
  const order = fourCharacters(header, 0);
  const isLittle = order === "II*\0";
  if (!isLittle && order !== "MM\0*") return 1;
  const directory = start + viewOf(header).getUint32(4, isLittle);
  if (directory + 2 > end) return 1;
  const count = viewOf(await reader.read(directory, 2)).getUint16(0, isLittle);
  const entriesStart = directory + 2;
  if (entriesStart + count * ENTRY_BYTES > end) return 1;
  const entries = viewOf(await reader.read(entriesStart, count * ENTRY_BYTES));
  for (let at = 0; at < entries.byteLength; at += ENTRY_BYTES) {
    if (entries.getUint16(at, isLittle) !== ORIENTATION_TAG) continue;
    const isShort = entries.getUint16(at + 2, isLittle) === TYPE_SHORT && entries.getUint32(at + 4, isLittle) === 1;
    const orientation = entries.getUint16(at + 8, isLittle);
    return isShort && orientation >= 1 && orientation <= 8 ? orientation : 1;
  }
  return 1;
}

/** EXIF that states an orientation and nothing else. */
export function formatOrientation(orientation: Orientation): Uint8Array<ArrayBuffer> {
  const oneEntry = "\0\x01";
  const entry = `\x01\x12\0${String.fromCharCode(TYPE_SHORT)}\0\0\0\x01\0${String.fromCharCode(orientation)}\0\0`;
  return latin1(`MM\0*\0\0\0\x08${oneEntry}${entry}\0\0\0\0`);
}
