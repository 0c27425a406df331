/**
 * WebP (RFC 9649): chunks in a RIFF container. A file with metadata begins with the chunk `VP8X`,
 * whose flags announce what follows.
 */
import { formatOrientation, type Orientation, readOrientation } from "./exif.ts";
import { damaged, type FilePart, type FileReader, fourCharacters, latin1, PartList, viewOf } from "./file-reader.ts";

const RIFF_HEADER_BYTES = 12;
/** The name and the length of a chunk. */
const CHUNK_HEADER_BYTES = 8;
const VP8X_BYTES = 10;
/** The place and the duration of a frame, before the frame's own chunks. */
const FRAME_HEADER_BYTES = 16;

const EXIF_FLAG = 0x08;
/** An ICC profile, transparency, and an animation. */
const KEPT_FLAGS = 0x32;

const FRAME_CHUNKS: ReadonlySet<string> = new Set(["ALPH", "VP8 ", "VP8L"]);
/** Transparency and an image. */
const FRAME_CHUNKS_MAX = 2;
const BITSTREAMS: ReadonlySet<string> = new Set(["VP8 ", "VP8L"]);

interface Chunk {
  readonly name: string;
  readonly start: number;
  readonly dataStart: number;
  readonly dataEnd: number;
  /** After the byte that pads it to an even length. */
  readonly end: number;
}

export async function rewriteWebp(reader: FileReader): Promise<FilePart[]> {
  const header = viewOf(await reader.read(0, RIFF_HEADER_BYTES));
  const riffEnd = CHUNK_HEADER_BYTES + header.getUint32(4, true);
  if (riffEnd > reader.size) throw damaged("it is cut off");
  const first = await readChunk(reader, RIFF_HEADER_BYTES, riffEnd);
  const body = new PartList(reader);
  if (BITSTREAMS.has(first.name)) {
    // a simple file has one chunk, and decoders ignore what follows
    keepChunk(body, first);
    return [riffHeader(body.size), ...body.end()];
  }
  if (first.name !== "VP8X" || first.dataEnd - first.dataStart < VP8X_BYTES) throw damaged("it has no image header");
  let hasImage = false;
  let orientation: Orientation | null = null;
  for (let at = first.end; at < riffEnd;) {
    const chunk = await readChunk(reader, at, riffEnd);
    const { name } = chunk;
    if (name === "ANMF") await keepFrame(reader, body, chunk);
    else if (name === "ICCP" || name === "ANIM" || FRAME_CHUNKS.has(name)) keepChunk(body, chunk);
    else if (name === "EXIF") orientation ??= await orientationIn(reader, chunk);
    hasImage ||= name === "ANMF" || BITSTREAMS.has(name);
    at = chunk.end;
  }
  if (!hasImage) throw damaged("it has no image");
  const hasOrientation = orientation !== null && orientation !== 1;
  const vp8x = new Uint8Array(CHUNK_HEADER_BYTES + VP8X_BYTES);
  vp8x.set(chunkHeader("VP8X", VP8X_BYTES));
  vp8x.set(await reader.read(first.dataStart, VP8X_BYTES), CHUNK_HEADER_BYTES);
  const flags = (vp8x[CHUNK_HEADER_BYTES] ?? 0) & KEPT_FLAGS;
  vp8x[CHUNK_HEADER_BYTES] = hasOrientation ? flags | EXIF_FLAG : flags;
  if (hasOrientation) {
    const exif = formatOrientation(orientation ?? 1);
    body.add(chunkHeader("EXIF", exif.length));
    body.add(exif);
  }
  return [riffHeader(vp8x.length + body.size), vp8x, ...body.end()];
}

async function readChunk(reader: FileReader, start: number, parentEnd: number): Promise<Chunk> {
  reader.countSegment();
  const dataStart = start + CHUNK_HEADER_BYTES;
  if (dataStart > parentEnd) throw damaged("it ends within a chunk");
  const header = await reader.read(start, CHUNK_HEADER_BYTES);
  const length = viewOf(header).getUint32(4, true);
  const dataEnd = dataStart + length;
  if (dataEnd > parentEnd) throw damaged("a chunk is longer than the file");
  // some encoders do not pad the last chunk
  return {
    name: fourCharacters(header, 0),
    start,
    dataStart,
    dataEnd,
    end: Math.min(dataEnd + (length % 2), parentEnd),
  };
}

function keepChunk(parts: PartList, { start, dataEnd, end }: Chunk): void {
  parts.keep(start, end);
  const isUnpadded = (dataEnd - start) % 2 === 1 && end === dataEnd;
  if (isUnpadded) parts.add(new Uint8Array(1));
}

/** Keeps a frame of an animation, without chunks that the frame may have beside its image. */
async function keepFrame(reader: FileReader, parts: PartList, { dataStart, dataEnd }: Chunk): Promise<void> {
  const chunksStart = dataStart + FRAME_HEADER_BYTES;
  if (chunksStart > dataEnd) throw damaged("a frame is shorter than its header");
  const kept: Chunk[] = [];
  for (let at = chunksStart; at < dataEnd;) {
    const chunk = await readChunk(reader, at, dataEnd);
    if (FRAME_CHUNKS.has(chunk.name)) kept.push(chunk);
    if (kept.length > FRAME_CHUNKS_MAX) throw damaged("a frame has several images");
    at = chunk.end;
  }
  const chunkBytes = kept.reduce((sum, { start, dataEnd }) => sum + dataEnd - start + ((dataEnd - start) % 2), 0);
  parts.add(chunkHeader("ANMF", FRAME_HEADER_BYTES + chunkBytes));
  parts.keep(dataStart, chunksStart);
  for (const chunk of kept) keepChunk(parts, chunk);
}

async function orientationIn(reader: FileReader, { dataStart, dataEnd }: Chunk): Promise<Orientation> {
  const name = "Exif\0\0";
  // some encoders copy the beginning of JPEG's segment
  const isNamed =
    dataEnd - dataStart >= name.length && String.fromCharCode(...(await reader.read(dataStart, name.length))) === name;
  return readOrientation(reader, isNamed ? dataStart + name.length : dataStart, dataEnd);
}

function riffHeader(bodyBytes: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(RIFF_HEADER_BYTES);
  header.set(chunkHeader("RIFF", 4 + bodyBytes));
  header.set(latin1("WEBP"), CHUNK_HEADER_BYTES);
  return header;
}

function chunkHeader(name: string, length: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(CHUNK_HEADER_BYTES);
  header.set(latin1(name));
  viewOf(header).setUint32(4, length, true);
  return header;
}
