import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";
import type { FixityEvent } from "../../src/index.ts";
import { until } from "./settled.ts";

/** A new secret of a webhook. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString("base64")}`;
}

/** A delivery that the receiver has accepted. */
export interface Delivery {
  readonly id: string;
  readonly type: FixityEvent["type"];
  readonly data: FixityEvent["data"];
  /** `performance.now()`. */
  readonly at: number;
}

/** A webhook over HTTP that verifies signatures with the library of Standard Webhooks. */
export class WebhookReceiver implements AsyncDisposable {
  readonly url: string;
  readonly secret: string = newWebhookSecret();
  /** Deliveries with a valid signature, in their order. */
  readonly deliveries: Delivery[] = [];
  /** Why others were refused. */
  readonly refused: string[] = [];
  /** Secrets that it accepts. */
  secrets: readonly string[] = [this.secret];
  /** Its status for valid deliveries. */
  status = 204;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=s3cret`;
    server.on("request", (request, response) => void this.#receive(request, response));
  }

  static async start(): Promise<WebhookReceiver> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new WebhookReceiver(server);
  }

  /** The settings of a server that sends its events here. */
  get env(): Readonly<Record<string, string>> {
    return { UPLOAD_WEBHOOK_URL: this.url, UPLOAD_WEBHOOK_SECRET: this.secret };
  }

  /** The deliveries about a blob. */
  of(type: Delivery["type"], hex: string): readonly Delivery[] {
    return this.deliveries.filter((one) => one.type === type && one.data.digest === `sha256:${hex}`);
  }

  /** Waits for the first delivery about a blob. */
  async receives(type: Delivery["type"], hex: string): Promise<Delivery> {
    await until(async () => this.of(type, hex).length > 0);
    return this.of(type, hex)[0] ?? assert.fail();
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // The sender may be killed while it sends.
    const body = await text(request).catch(() => null);
    if (body === null) return;
    const status = this.#accept(body, request.headers as Record<string, string>);
    response.writeHead(status).end();
  }

  #accept(body: string, headers: Record<string, string>): number {
    const verified = this.secrets.flatMap((secret) => {
      try {
        return [new Webhook(secret).verify(body, headers) as Pick<Delivery, "type" | "data">];
      } catch {
        return [];
      }
    });
    const [event] = verified;
    if (event === undefined) this.refused.push(body);
    if (event === undefined) return 401;
    const { type, data } = event;
    if (this.status < 300) {
      this.deliveries.push({ id: String(headers["webhook-id"]), type, data, at: performance.now() });
    }
    return this.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}
