/** The size of an image in pixels, as its first bytes state it. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * The size read from the beginning of an image; `more` if more bytes are needed, `unknown` if it
 * states none.
 */
export type SizeReading = ImageSize | "more" | "unknown";

/**
 * Reads the size of an image from its beginning. The bytes determine the format, as in browsers,
 * not the extension. If a format states several sizes, the result is the largest one, which a
 * decoder may have to allocate.
 *
 * @param bytes the first bytes of the file
 * @param isWhole whether these are all its bytes
 */
export function readImageSize(bytes: Buffer, isWhole: boolean): SizeReading {
  if (bytes.length < 16) return isWhole ? "unknown" : "more";
  for (const [signature, read] of FORMATS) {
    if (!signature.test(bytes.toString("latin1", 0, 16))) continue;
    try {
      return read(bytes, isWhole);
    } catch (error) {
      // A field lies beyond the bytes read so far.
      if (error instanceof RangeError) return "more";
      throw error;
    }
  }
  return "unknown";
}

/** Signatures of WHATWG MIME Sniffing, and of AVIF. */
const FORMATS: readonly (readonly [signature: RegExp, read: (bytes: Buffer, isWhole: boolean) => SizeReading])[] = [
  [/^\x89PNG\r\n\x1a\n/, readPng],
  [/^GIF8[79]a/, readGif],
  [/^\xff\xd8\xff/, readJpeg],
  [/^RIFF[^]{4}WEBP/, readWebp],
  [/^BM/, (bytes) => readBitmapHeader(bytes, 14)],
  [/^\0\0[\x01\x02]\0/, readIcon],
  [/^[^]{4}ftyp(?:avi[fs]|mif1|msf1)/, readAvif],
];

function readPng(bytes: Buffer): SizeReading {
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

/** The logical screen, which browsers enlarge if the first frame is larger. */
function readGif(bytes: Buffer): SizeReading {
  const screen = { width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
  const flags = bytes.readUInt8(10);
  let position = 13 + (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  while (bytes.readUInt8(position) === 0x21) {
    position += 2;
    for (let length = bytes.readUInt8(position); length > 0; length = bytes.readUInt8(position)) position += 1 + length;
    position += 1;
  }
  if (bytes.readUInt8(position) !== 0x2c) return screen;
  return largest([screen, { width: bytes.readUInt16LE(position + 5), height: bytes.readUInt16LE(position + 7) }]);
}

/** The first start-of-frame segment (ITU T.81, B.2.2). */
function readJpeg(bytes: Buffer): SizeReading {
  let position = 2;
  for (;;) {
    // Fill bytes may precede a marker.
    while (bytes.readUInt8(position) === 0xff) position += 1;
    const marker = bytes.readUInt8(position);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { width: bytes.readUInt16BE(position + 6), height: bytes.readUInt16BE(position + 4) };
    // No frame follows the start of a scan or the end of the image.
    if (marker === 0xda || marker === 0xd9) return "unknown";
    const hasLength = marker !== 0x01 && (marker < 0xd0 || marker > 0xd7);
    position += 1 + (hasLength ? bytes.readUInt16BE(position + 1) : 0);
    if (bytes.readUInt8(position) !== 0xff) return "unknown";
  }
}

function readWebp(bytes: Buffer): SizeReading {
  const kind = bytes.toString("latin1", 12, 16);
  if (kind === "VP8X") return { width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
  if (kind === "VP8 ") return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
  if (kind !== "VP8L") return "unknown";
  const packed = bytes.readUInt32LE(21);
  return { width: (packed & 0x3fff) + 1, height: ((packed >>> 14) & 0x3fff) + 1 };
}

/**
 * A bitmap's header at a position. The old one of 12 bytes has 16-bit sizes; negative heights mean
 * top-down rows.
 */
function readBitmapHeader(bytes: Buffer, position: number): SizeReading {
  if (bytes.readUInt32LE(position) === 12) {
    return { width: bytes.readUInt16LE(position + 4), height: bytes.readUInt16LE(position + 6) };
  }
  return {
    width: Math.abs(bytes.readInt32LE(position + 4)),
    height: Math.abs(bytes.readInt32LE(position + 8)),
  };
}

/** Each entry is a bitmap without its file header, or a PNG of any size. */
function readIcon(bytes: Buffer): SizeReading {
  const sizes: SizeReading[] = [];
  for (let entry = 0; entry < bytes.readUInt16LE(4); entry += 1) {
    const position = bytes.readUInt32LE(6 + 16 * entry + 12);
    const isPng = bytes.readUInt32BE(position) === 0x89504e47;
    sizes.push(isPng ? readPng(bytes.subarray(position)) : readBitmapHeader(bytes, position));
  }
  return largest(sizes);
}

/** Boxes of real files are nested less deeply. */
const MAX_AVIF_DEPTH = 10;

/** Boxes that contain boxes, and the number of bytes that precede those. */
const AVIF_CONTAINERS: Readonly<Record<string, number>> = {
  meta: 4,
  iprp: 0,
  ipco: 0,
  moov: 0,
  trak: 0,
  mdia: 0,
  minf: 0,
  stbl: 0,
  stsd: 8,
};

/** Every size that items (`ispe`) and tracks (`av01`) state (ISO/IEC 23008-12, 14496-12). */
function readAvif(bytes: Buffer, isWhole: boolean): SizeReading {
  const sizes: ImageSize[] = [];
  const walk = (start: number, end: number, depth: number): void => {
    for (let position = start; position < end;) {
      const length = bytes.readUInt32BE(position);
      const type = bytes.toString("latin1", position + 4, position + 8);
      // Coded bytes follow, but no further sizes.
      if (type === "mdat" && sizes.length > 0) return;
      const boxEnd = length === 0 ? end : Math.min(end, position + length);
      if (type === "ispe") {
        sizes.push({ width: bytes.readUInt32BE(position + 12), height: bytes.readUInt32BE(position + 16) });
      } else if (type === "av01") {
        sizes.push({ width: bytes.readUInt16BE(position + 32), height: bytes.readUInt16BE(position + 34) });
      }
      const before = AVIF_CONTAINERS[type];
      if (before !== undefined && depth < MAX_AVIF_DEPTH) walk(position + 8 + before, boxEnd, depth + 1);
      // A 64-bit length, or an invalid one.
      if (length !== 0 && length < 8) return;
      position = boxEnd;
    }
  };
  walk(0, isWhole ? bytes.length : Infinity, 0);
  return largest(sizes);
}

function largest(sizes: readonly SizeReading[]): SizeReading {
  let found: SizeReading = "unknown";
  for (const size of sizes) {
    if (typeof size !== "object") continue;
    if (typeof found !== "object" || size.width * size.height > found.width * found.height) found = size;
  }
  return found;
}
