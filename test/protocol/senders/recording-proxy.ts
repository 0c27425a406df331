import { once } from "node:events";
import { createServer, type IncomingMessage, request, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { RawClient } from "../../helpers/raw-client.ts";

/** One request as a sender wrote it, with its content decoded from chunks. */
export interface Recording {
  readonly method: string;
  /** The path with its query. */
  readonly path: string;
  /** In their order, with lower-case names. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** A server in front of fixity that keeps the uploads it passes on. */
export class RecordingProxy implements AsyncDisposable {
  /** Uploads in the order of their ends; preflights and reads are passed on, but not kept. */
  readonly recordings: Recording[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param pages answers what is not below `/uploads` */
  static async start(
    target: string,
    pages: RequestListener = (_, response) => void response.writeHead(404).end(),
  ): Promise<RecordingProxy> {
    const server = createServer((incoming, outgoing) => {
      if (incoming.url?.startsWith("/uploads") !== true) return pages(incoming, outgoing);
      const pass = async (): Promise<void> => {
        const recording = await recordingOf(incoming);
        if (["POST", "PUT"].includes(recording.method)) proxy.recordings.push(recording);
        const headers = [...incoming.rawHeaders];
        const passed = request(target + recording.path, { method: recording.method, headers });
        passed.on("error", () => outgoing.destroy());
        passed.on("response", (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
          answer.pipe(outgoing);
        });
        passed.end(recording.body);
      };
      pass().catch(() => outgoing.destroy());
    });
    const proxy = new RecordingProxy(server.listen(0, "127.0.0.1"));
    await once(server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Reads a request that was recorded as it was on the wire. */
export async function readRecording(bytes: Uint8Array): Promise<Recording> {
  const read = Promise.withResolvers<Recording>();
  const server = createServer((incoming, outgoing) => {
    void recordingOf(incoming).then(read.resolve, read.reject);
    outgoing.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  await using client = await RawClient.open((server.address() as AddressInfo).port);
  await client.send(bytes);
  client.socket.end();
  try {
    await client.answer();
    return await read.promise;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

async function recordingOf(incoming: IncomingMessage): Promise<Recording> {
  const { method = "", url: path = "", rawHeaders } = incoming;
  const fields = Array.from({ length: rawHeaders.length / 2 }, (_, index) => {
    const [name = "", value = ""] = rawHeaders.slice(2 * index, 2 * index + 2);
    return [name.toLowerCase(), value] as const;
  });
  return { method, path, fields, body: Buffer.concat(await Array.fromAsync(incoming)) };
}

/** Fields of the connection, the browser and its version, not of the sender. */
const OF_THE_MACHINE =
  /^(?:host|connection|keep-alive|user-agent|accept-encoding|accept-language|origin|referer|upgrade-insecure-requests|sec-.*)$/;

/** What must not change between two requests of one sender: all but the machine, the boundary and the bytes of the file. */
export function shapeOf({ method, path, fields, body }: Recording, file: Uint8Array): object {
  const type = fields.find(([name]) => name === "content-type")?.[1] ?? "";
  const [, boundary] = /boundary="?([^";]+)/.exec(type) ?? [];
  const withoutBoundary = (text: string): string =>
    boundary === undefined ? text : text.replaceAll(boundary, "<boundary>");
  const kept = fields
    .filter(([name]) => !OF_THE_MACHINE.test(name))
    .map(([name, value]) => `${name}: ${name === "content-length" ? "<length>" : withoutBoundary(value)}`);
  const content = withoutBoundary(body.toString("latin1").replace(Buffer.from(file).toString("latin1"), "<file>"));
  return { start: `${method} ${path}`, fields: kept.sort(), content };
}
