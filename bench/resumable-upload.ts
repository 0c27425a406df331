import { once } from "node:events";
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { uniqueBlocks } from "./load.ts";

/** The protocol: tus 1.0, or the IETF draft in interop version 8. */
export type Dialect = "tus" | "ietf";

/** Failed requests of one upload after which the client gives up. */
const FAILED_REQUESTS_MAX = 100;

/** A response without success. */
export class Refusal extends Error {
  readonly status: number;
  /** Seconds of `Retry-After`; `null` if the response has none. */
  readonly retryAfter: number | null;

  constructor({ statusCode = 0, headers }: IncomingMessage) {
    super(`answered ${statusCode} ${JSON.stringify(headers)}`);
    this.status = statusCode;
    const seconds = Number(headers["retry-after"] ?? Number.NaN);
    this.retryAfter = Number.isNaN(seconds) ? null : seconds;
  }
}

/** The client side of a resumable upload of new bytes. */
export class ResumableUpload implements Disposable {
  readonly size: number;
  /** Called with every durable offset that the server reports. */
  onProgress: ((offset: number) => void) | null = null;
  readonly #dialect: Dialect;
  readonly #blocks: readonly Buffer[];
  /** One connection at a time, as a client has. */
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

  /** As the last response stated it. */
  get offset(): number {
    return this.#offset;
  }

  /** Its path; `null` before its creation. */
  get path(): string | null {
    return this.#path;
  }

  /** Continues at another port of the server. */
  moveTo(port: number): void {
    this.#port = port;
  }

  /** Creates the upload without content. */
  async create(): Promise<void> {
    await this.#exchange("POST", this.#creationFields(0), 0);
  }

  /**
   * Sends the bytes up to `end` in one request. In the IETF dialect, that request creates the
   * upload.
   */
  async send(end: number): Promise<void> {
    if (this.#path === null && this.#dialect === "ietf") {
      await this.#exchange("POST", this.#creationFields(end), end);
    } else {
      if (this.#path === null) await this.create();
      await this.#exchange("PATCH", this.#appendFields(end), end);
    }
    this.#offset = end;
  }

  /** Requests the offset. */
  async find(): Promise<number> {
    const { headers } = await this.#exchange("HEAD", this.#fields(), this.#offset);
    this.#offset = Number(headers["upload-offset"]);
    return this.#offset;
  }

  /**
   * Sends everything, and resumes after interruptions and refusals. Returns their statuses; 0 for a
   * broken connection.
   */
  async sendPatiently(): Promise<readonly number[]> {
    const statuses: number[] = [];
    for (;;) {
      try {
        if (statuses.length > 0 && this.#path !== null) await this.find();
        await this.send(this.size);
        return statuses;
      } catch (error) {
        if (statuses.length === FAILED_REQUESTS_MAX) throw error;
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

  /** Sends a request with the bytes up to `end` and reads the response to its end. */
  async #exchange(method: string, headers: Record<string, string>, end: number): Promise<IncomingMessage> {
    const path = this.#path ?? "/uploads";
    const outgoing = request({ host: "127.0.0.1", port: this.#port, agent: this.#agent, method, path, headers });
    outgoing.setNoDelay(true);
    outgoing.on("information", (interim) => this.#note(interim.headers));
    const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
    // The response may arrive, or the connection break, before everything is sent.
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
