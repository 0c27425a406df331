/**
 * PNG (W3C Recommendation, third edition): chunks with a length, a type, data and a CRC. The case of
 * a type's first letter says whether decoders need the chunk.
 */
import { formatOrientation, readOrientation } from "./exif.ts";
import { damaged, type FilePart, type FileReader, fourCharacters, latin1, PartList, viewOf } from "./file-reader.ts";

const SIGNATURE = "\x89PNG\r\n\x1a\n";

const NEEDED_CHUNKS: ReadonlySet<string> = new Set(["IHDR", "PLTE", "IDAT", "IEND"]);

/** Chunks that change what is shown: transparency, colour space, size, and animation. */
const SHOWN_CHUNKS: ReadonlySet<string> = new Set([
  "tRNS",
  "cHRM",
  "gAMA",
  "iCCP",
  "sBIT",
  "sRGB",
  "cICP",
  "mDCV",
  "cLLI",
  "bKGD",
  "hIST",
  "pHYs",
  "acTL",
  "fcTL",
  "fdAT",
]);

const LENGTH_MAX = 2 ** 31 - 1;
/** All of it is read, for its CRC. */
const EXIF_MAX_BYTES = 16 * 1024 * 1024;
/** The length and the type before the data, and the CRC after it. */
const HEADER_BYTES = 8;
const CRC_BYTES = 4;

export async function rewritePng(reader: FileReader): Promise<FilePart[]> {
  const parts = new PartList(reader);
  if (String.fromCharCode(...(await reader.read(0, SIGNATURE.length))) !== SIGNATURE) {
    throw damaged("its signature is wrong, as after a transfer as text");
  }
  parts.keep(0, SIGNATURE.length);
  let hasImage = false;
  let hasOrientation = false;
  let at = SIGNATURE.length;
  for (let type = ""; type !== "IEND";) {
    reader.countSegment();
    const header = await reader.read(at, HEADER_BYTES);
    const length = viewOf(header).getUint32(0);
    const isFirst = type === "";
    type = fourCharacters(header, 4);
    if (!/^[A-Za-z]{4}$/.test(type) || length > LENGTH_MAX) throw damaged("a chunk has no valid header");
    if (isFirst && (type !== "IHDR" || length !== 13)) throw damaged("it does not begin with its header");
    const dataStart = at + HEADER_BYTES;
    const end = dataStart + length + CRC_BYTES;
    if (end > reader.size) throw damaged("it is cut off");
    if (NEEDED_CHUNKS.has(type) || SHOWN_CHUNKS.has(type)) {
      parts.keep(at, end);
    } else if (/^[A-Z]/.test(type)) {
      throw damaged(`decoders need its chunk ${type}, which is unknown`);
    } else if (type === "eXIf" && length > EXIF_MAX_BYTES) {
      throw damaged("its EXIF is too large");
    } else if (type === "eXIf" && !hasOrientation && (await hasValidCrc(reader, at, end))) {
      hasOrientation = true;
      const orientation = await readOrientation(reader, dataStart, end - CRC_BYTES);
      if (orientation !== 1) parts.add(formatChunk("eXIf", formatOrientation(orientation)));
    }
    hasImage ||= type === "IDAT";
    at = end;
  }
  if (!hasImage) throw damaged("it has no image");
  return parts.end();
}

/** Decoders ignore a chunk whose CRC is wrong, if they do not need it. */
async function hasValidCrc(reader: FileReader, start: number, end: number): Promise<boolean> {
  const crc = new Crc();
  const dataEnd = end - CRC_BYTES;
  for (let at = start + 4; at < dataEnd;) {
    const bytes = await reader.readSome(at);
    crc.update(bytes.subarray(0, dataEnd - at));
    at += bytes.length;
  }
  return viewOf(await reader.read(dataEnd, CRC_BYTES)).getUint32(0) === crc.value;
}

function formatChunk(type: string, data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const chunk = new Uint8Array(HEADER_BYTES + data.length + CRC_BYTES);
  chunk.set(latin1(type), 4);
  chunk.set(data, HEADER_BYTES);
  const crc = new Crc();
  crc.update(chunk.subarray(4, -CRC_BYTES));
  viewOf(chunk).setUint32(0, data.length);
  viewOf(chunk).setUint32(chunk.length - CRC_BYTES, crc.value);
  return chunk;
}

/** The CRC-32 of ISO 3309, bit by bit: it is computed for a few bytes only. */
class Crc {
  #state = 0xffffffff;

  update(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#state ^= byte;
      for (let bit = 0; bit < 8; bit += 1) {
        this.#state = (this.#state >>> 1) ^ (0xedb88320 & -(this.#state & 1));
      }
    }
  }

  get value(): number {
    return ~this.#state >>> 0;
  }
}
