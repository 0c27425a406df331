import type { Content } from "../platform.ts";

const CHUNK = 256 * 1024;

/** Bytes in memory. */
export class BytesContent implements Content {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Sent in one go. */
  get isShort(): boolean {
    return this.size <= CHUNK;
  }

  slice(start: number, end: number): BytesContent {
    return new BytesContent(this.bytes.subarray(start, end));
  }

  async *stream(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    for (let at = 0; at < this.size; at += CHUNK) yield this.bytes.subarray(at, at + CHUNK);
  }
}
