import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { sha256Hex, Signer } from "../src/stores/s3/api/signer.ts";
import { type SmallLoad, uniqueBlocks } from "./load.ts";
import type { S3Target } from "./servers/s3-target.ts";

/**
 * The bucket's own limit: only the signed request that stores a small file, over bare sockets,
 * without a server in front and without an S3 client. Returns uploads per second.
 */
export async function putBarely(target: S3Target, { size, connections, count }: SmallLoad): Promise<number> {
  const keys = { accessKeyId: target.accessKey, secretAccessKey: target.secretKey };
  const signer = new Signer(async () => keys, target.region);
  const { host, hostname, port } = new URL(target.endpoint);
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(hostname, Number(port || 80))));
  let left = count;
  const started = performance.now();
  const putAll = async (socket: Socket): Promise<void> => {
    while (left-- > 0) {
      const content = Buffer.concat(uniqueBlocks(size));
      const digest = sha256Hex([content]);
      const headers = await signer.sign({
        method: "PUT",
        host,
        path: `/${target.bucket}/bare/${digest}`,
        query: {},
        headers: { "content-type": "application/octet-stream", "if-none-match": "*" },
        payload: digest,
      });
      const fields = Object.entries({ ...headers, "content-length": String(size) });
      const lines = [`PUT /${target.bucket}/bare/${digest} HTTP/1.1`, ...fields.map((field) => field.join(": "))];
      socket.write(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), content]));
      await stored(socket);
    }
  };
  await Promise.all(sockets.map(putAll));
  const seconds = (performance.now() - started) / 1000;
  for (const socket of sockets) socket.destroy();
  return count / seconds;
}

async function open(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host);
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket;
}

/** Waits for the response, which has no content after a success. */
async function stored(socket: Socket): Promise<void> {
  let answer = "";
  while (!answer.includes("\r\n\r\n")) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    answer += bytes.toString("latin1");
  }
  if (!answer.startsWith("200", 9)) throw new Error(`answered ${answer}`);
}
