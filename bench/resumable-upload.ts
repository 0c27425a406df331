import { once } from "node:events";
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { uniqueBlocks } from "./load.ts";

/** The protocol that is spoken: tus 1.0, or the IETF's in interop version 8. */
export type Dialect = "tus" | "ietf";

/** Requests of one upload that may fail, of who goes on where the server says so, until he gives up. */
const PATIENCE = 100;

/** An answer that is no success. */
export class Refusal extends Error {
  readonly status: number;
  /** Seconds after which it may be tried again, where the server says so. */
  readonly retryAfter: number | null;

  constructor({ statusCode = 0, headers }: IncomingMessage) {
    super(`answered ${statusCode} ${JSON.stringify(headers)}`);
    this.status = statusCode;
    const seconds = Number(headers["retry-after"] ?? Number.NaN);
    this.retryAfter = Number.isNaN(seconds) ? null : seconds;
  }
}

/** A client's side of an upload that can be resumed, of bytes that no upload before had. */
export class ResumableUpload implements Disposable {
  readonly size: number;
  /** Told of every offset that the server calls durable on the way. */
  onProgress: ((offset: number) => void) | null = null;
  readonly #dialect: Dialect;
  readonly #blocks: readonly Buffer[];
  /** One connection after another, as a client has them. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #port: number;
  #path: string | null = null;
  #offset = 0;

  constructor(port: number, dialect: Dialect, size: number) {
    this.#port = port;
    this.#dialect = dialect;
    this.size = size;
    this.#blocks = uniqueBlocks(size);
  }

  /** As the last answer told it. */
  get offset(): number {
    return this.#offset;
  }

  /** The server has another port now. */
  moveTo(port: number): void {
    this.#port = port;
  }

  /** Creates it, without any bytes. */
  async create(): Promise<void> {
    await this.#exchange("POST", this.#creationFields(0), 0);
  }

  /** Sends the bytes up to `end` in one request; creates the upload with them, where its protocol is made for that. */
  async send(end: number): Promise<void> {
    if (this.#path === null && this.#dialect === "ietf") {
      await this.#exchange("POST", this.#creationFields(end), end);
    } else {
      if (this.#path === null) await this.create();
      await this.#exchange("PATCH", this.#appendFields(end), end);
    }
    this.#offset = end;
  }

  /** Asks how far it is. */
  async find(): Promise<number> {
    const { headers } = await this.#exchange("HEAD", this.#fields(), this.#offset);
    this.#offset = Number(headers["upload-offset"]);
    return this.#offset;
  }

  /**
   * Sends everything, and goes on where it was interrupted or asked to come back later. The statuses by which it was; 0 for
   * a connection that broke off.
   */
  async sendPatiently(): Promise<readonly number[]> {
    const statuses: number[] = [];
    for (;;) {
      try {
        if (statuses.length > 0 && this.#path !== null) await this.find();
        await this.send(this.size);
        return statuses;
      } catch (error) {
        if (statuses.length === PATIENCE) throw error;
        const { status = 0, retryAfter } = error as Partial<Refusal>;
        statuses.push(status);
        await sleep(1000 * (retryAfter ?? 1));
      }
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #fields(): Record<string, string> {
    return this.#dialect === "tus" ? { "Tus-Resumable": "1.0.0" } : { "Upload-Draft-Interop-Version": "8" };
  }

  #creationFields(end: number): Record<string, string> {
    const fields = { ...this.#fields(), "Upload-Length": String(this.size), "Content-Length": String(end) };
    return this.#dialect === "tus" ? fields : { ...fields, "Upload-Complete": this.#isComplete(end) };
  }

  #appendFields(end: number): Record<string, string> {
    const offset = this.#offset;
    const fields = { ...this.#fields(), "Upload-Offset": String(offset), "Content-Length": String(end - offset) };
    if (this.#dialect === "tus") return { ...fields, "Content-Type": "application/offset+octet-stream" };
    return { ...fields, "Content-Type": "application/partial-upload", "Upload-Complete": this.#isComplete(end) };
  }

  #isComplete(end: number): string {
    return end === this.size ? "?1" : "?0";
  }

  /** Makes a request with the bytes up to `end`, and reads the answer to its end. */
  async #exchange(method: string, headers: Record<string, string>, end: number): Promise<IncomingMessage> {
    const path = this.#path ?? "/uploads";
    const outgoing = request({ host: "127.0.0.1", port: this.#port, agent: this.#agent, method, path, headers });
    outgoing.setNoDelay(true);
    outgoing.on("information", (interim) => this.#note(interim.headers));
    const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
    // the answer may come, or the connection break off, before all is sent
    const [[answer]] = await Promise.all([answered, Promise.race([this.#write(outgoing, end), answered])]);
    this.#note(answer.headers);
    answer.resume();
    await once(answer, "end");
    if (!outgoing.writableEnded) outgoing.destroy();
    if ((answer.statusCode ?? 0) > 299) throw new Refusal(answer);
    return answer;
  }

  #note({ location, "upload-offset": offset }: IncomingMessage["headers"]): void {
    if (location !== undefined && this.#path === null) this.#path = new URL(location, "http://127.0.0.1").pathname;
    if (offset !== undefined) this.onProgress?.(Number(offset));
  }

  async #write(outgoing: ClientRequest, end: number): Promise<void> {
    let at = 0;
    for (const block of this.#blocks) {
      const bytes = block.subarray(Math.max(this.#offset - at, 0), Math.max(end - at, 0));
      at += block.length;
      if (bytes.length > 0 && !outgoing.write(bytes)) await once(outgoing, "drain");
    }
    outgoing.end();
  }
}
