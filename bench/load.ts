import { once } from "node:events";
import { connect, type Socket } from "node:net";

const BOUNDARY = "----benchmark-boundary-7d1f";
const HEAD = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="upload"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n`;
const TAIL = `\r\n--${BOUNDARY}--\r\n`;

/** A form upload, ready to be written: header section and form around content of `size` bytes. */
function envelope(size: number, path: string): { readonly head: Buffer; readonly tail: Buffer } {
  const length = HEAD.length + size + TAIL.length;
  const head =
    `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\n` +
    `Content-Length: ${length}\r\n\r\n${HEAD}`;
  return { head: Buffer.from(head), tail: Buffer.from(TAIL) };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket;
}

/** Waits for one answer, throws unless it is a success, and reads its content to the end. */
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
        if (status < 200 || status > 299) return done(new Error(`answered ${head}`));
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

/** Uploads `size` bytes that no earlier upload had, over a connection of its own. Seconds. */
export async function uploadLarge(port: number, path: string, size: number): Promise<number> {
  const socket = await open(port);
  const { head, tail } = envelope(size, path);
  const block = Buffer.alloc(256 * 1024, 7);
  const started = performance.now();
  const answered = answer(socket);
  socket.write(head);
  for (let sent = 0; sent < size; sent += block.length) {
    // only the first block is unlike any other: enough for another digest
    const bytes = sent === 0 ? uniquely(Buffer.from(block)) : block.subarray(0, Math.min(block.length, size - sent));
    if (!socket.write(bytes)) await Promise.race([once(socket, "drain"), answered]);
  }
  socket.write(tail);
  await answered;
  const seconds = (performance.now() - started) / 1000;
  socket.destroy();
  return seconds;
}

/** Uploads files of `size` bytes, each unlike any other, over so many connections. Uploads per second. */
export async function uploadSmall(port: number, path: string, load: SmallLoad): Promise<number> {
  const { size, connections, count } = load;
  const { head, tail } = envelope(size, path);
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  let left = count;
  const started = performance.now();
  await Promise.all(
    sockets.map(async (socket) => {
      const request = Buffer.concat([head, Buffer.alloc(size, 7), tail]);
      const content = request.subarray(head.length, head.length + size);
      while (left-- > 0) {
        uniquely(content);
        const answered = answer(socket);
        socket.write(request);
        await answered;
      }
    }),
  );
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
}

/** Downloads once. Seconds. */
export async function download(port: number, path: string): Promise<number> {
  const socket = await open(port);
  const started = performance.now();
  const answered = answer(socket);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
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
