import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const BOUNDARY = "----benchmark-boundary-7d1f";
const HEAD = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="upload"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n`;
const TAIL = `\r\n--${BOUNDARY}--\r\n`;

/** Digits in the name of a small file. */
const NAME_DIGITS = 10;

/** The block that large content repeats; shared, because many uploads may run at once. */
const BLOCK = Buffer.alloc(256 * 1024, 7);

/** The bytes before and after the content of an upload. */
interface Envelope {
  readonly head: Buffer;
  readonly tail: Buffer;
}

/** A form upload of `size` bytes: header section and form. */
function formEnvelope(size: number, path: string, field = ""): Envelope {
  const length = HEAD.length + size + TAIL.length;
  const head =
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\n${field}` +
    `Content-Length: ${length}\r\n\r\n${HEAD}`;
  return { head: Buffer.from(head), tail: Buffer.from(TAIL) };
}

/** An upload of `size` bytes whose content is the file itself. */
function rawEnvelope(size: number, path: string, field = ""): Envelope {
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${field}Content-Length: ${size}\r\n\r\n`;
  return { head: Buffer.from(head), tail: Buffer.alloc(0) };
}

/** A `PUT` of `size` bytes to `path`. */
function putEnvelope(size: number, path: string): Envelope {
  const head = `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`;
  return { head: Buffer.from(head), tail: Buffer.alloc(0) };
}

/** A raw upload to the link that names the content's digest. */
function declaredEnvelope(blocks: readonly Buffer[], path: string): Envelope {
  const hash = createHash("sha256");
  let length = 0;
  for (const block of blocks) {
    hash.update(block);
    length += block.length;
  }
  return putEnvelope(length, `${path}/${hash.digest("hex")}.bin`);
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket;
}

/** A response without success. */
class Refused extends Error {
  readonly status: number;
  /** Seconds of `Retry-After`; `null` if the response has none. */
  readonly retryAfter: number | null;

  constructor(head: string) {
    super(`answered ${head}`);
    this.status = Number(head.slice(9, 12));
    const seconds = /\r\nretry-after: *(\d+)/i.exec(head)?.[1];
    this.retryAfter = seconds === undefined ? null : Number(seconds);
  }
}

/** Waits for one response and reads its content to the end. Throws unless it is a success. */
function answer(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    let rest = -1;
    let total = 0;
    let head = "";
    const onData = (bytes: Buffer): void => {
      if (rest === -1) {
        head += bytes.toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end === -1) return;
        const status = Number(head.slice(9, 12));
        if (status < 200 || status > 299) return done(new Refused(head));
        total = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
        rest = total - (head.length - end - 4);
      } else {
        rest -= bytes.length;
      }
      if (rest <= 0) done(null);
    };
    const onClose = (): void => done(new Error("the connection was closed"));
    const done = (error: Error | null): void => {
      socket.off("data", onData);
      socket.off("close", onClose);
      socket.off("error", done);
      if (error === null) resolve(total);
      else reject(error);
    };
    socket.on("data", onData);
    socket.on("close", onClose);
    socket.on("error", done);
  });
}

/** Uploads `size` new bytes as a form, over a connection of its own. Returns seconds. */
export async function uploadLarge(port: number, path: string, size: number): Promise<number> {
  return send(port, formEnvelope(size, path), uniqueBlocks(size));
}

/** Like {@link uploadLarge}, but as a `PUT` to the link of the content, hashed beforehand. */
export async function uploadDeclared(port: number, path: string, size: number): Promise<number> {
  const blocks = uniqueBlocks(size);
  return send(port, declaredEnvelope(blocks, path), blocks);
}

/** Uploads `size` new bytes as a `PUT` to a name of the caller's. Returns seconds. */
export async function putFile(port: number, path: string, size: number): Promise<number> {
  return send(port, putEnvelope(size, path), uniqueBlocks(size));
}

/** The outcome of an upload that was retried as often as the server requested. */
export interface PatientUpload {
  /** How often the server requested a retry. */
  readonly refusals: number;
  /** The final status; `null` if the file was stored. */
  readonly failure: number | null;
}

/** Like {@link uploadLarge}, and retries after each 503 with `Retry-After`. */
export async function uploadPatiently(port: number, path: string, size: number): Promise<PatientUpload> {
  for (let refusals = 0; ; refusals++) {
    try {
      await uploadLarge(port, path, size);
      return { refusals, failure: null };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status !== 503 || error.retryAfter === null) return { refusals, failure: error.status };
      await sleep(error.retryAfter * 1000);
    }
  }
}

async function send(port: number, { head, tail }: Envelope, blocks: readonly Buffer[]): Promise<number> {
  const socket = await open(port);
  const started = performance.now();
  const answered = answer(socket);
  try {
    socket.write(head);
    for (const block of blocks) {
      if (!socket.write(block)) await Promise.race([once(socket, "drain"), answered]);
    }
    socket.write(tail);
    await answered;
    return (performance.now() - started) / 1000;
  } finally {
    socket.destroy();
  }
}

/** Blocks of which only the first is unique: enough for a new digest. */
export function uniqueBlocks(size: number): readonly Buffer[] {
  const count = Math.ceil(size / BLOCK.length);
  return Array.from({ length: count }, (_, index) =>
    index === 0
      ? uniquely(Buffer.from(BLOCK.subarray(0, size)))
      : BLOCK.subarray(0, Math.min(BLOCK.length, size - index * BLOCK.length)),
  );
}

/**
 * Uploads distinct files of `size` bytes over `connections` connections. Returns uploads per
 * second. The load runs on the same processors as the server, so it is kept as light as possible.
 */
export async function uploadSmall(port: number, path: string, load: SmallLoad): Promise<number> {
  const { size, connections, count, token, isRaw = false, isNamed = false } = load;
  const field = token === undefined ? "" : `Authorization: Bearer ${token}\r\n`;
  const { head, tail } = isNamed
    ? putEnvelope(size, `${path}/${"0".repeat(NAME_DIGITS)}.bin`)
    : (isRaw ? rawEnvelope : formEnvelope)(size, path, field);
  const nameAt = `PUT ${path}/`.length;
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  let left = count;
  const started = performance.now();
  const uploadAll = (socket: Socket): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = Buffer.concat([head, Buffer.alloc(size, 7), tail]);
      const content = request.subarray(head.length, head.length + size);
      const next = (): void => {
        if (left-- <= 0) return resolve();
        uniquely(content);
        if (isNamed) request.write(String(serial).padStart(NAME_DIGITS, "0"), nameAt);
        socket.write(request);
      };
      let begun = "";
      socket.on("data", (bytes) => {
        begun += bytes.toString("latin1");
        const end = begun.indexOf("\r\n\r\n");
        if (end === -1) return;
        if (!begun.startsWith("2", 9)) return reject(new Refused(begun));
        if (begun.length < end + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(begun)?.[1])) return;
        begun = "";
        next();
      });
      socket.once("error", reject).once("close", () => reject(new Error("the connection was closed")));
      next();
    });
  await Promise.all(sockets.map(uploadAll));
  const seconds = (performance.now() - started) / 1000;
  for (const socket of sockets) socket.destroy();
  return count / seconds;
}

/** A load of small uploads. */
export interface SmallLoad {
  /** Bytes of a file. */
  readonly size: number;
  readonly connections: number;
  /** Uploads in all. */
  readonly count: number;
  /** Sent with every request. */
  readonly token?: string;
  /** Whether the content is the file itself. @default a form */
  readonly isRaw?: boolean;
  /** Whether each file is a `PUT` to a name of its own. @default a form */
  readonly isNamed?: boolean;
}

/** Downloads a file once. Returns seconds. */
export async function download(port: number, path: string): Promise<number> {
  const socket = await open(port);
  const started = performance.now();
  const answered = answer(socket);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await answered;
  const seconds = (performance.now() - started) / 1000;
  socket.destroy();
  return seconds;
}

let serial = 0;

function uniquely(bytes: Buffer): Buffer {
  bytes.writeDoubleBE(performance.timeOrigin, 0);
  bytes.writeUInt32BE(serial++, 8);
  return bytes;
}
